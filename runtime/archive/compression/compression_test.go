package compression

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// compressed gives text in each format.
func compressed(t testing.TB, text string) map[Format][]byte {
	t.Helper()
	var gzipped, zstandard bytes.Buffer
	encoder, err := zstd.NewWriter(&zstandard)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []io.WriteCloser{gzip.NewWriter(&gzipped), encoder} {
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return map[Format][]byte{None: []byte(text), Gzip: gzipped.Bytes(), Zstd: zstandard.Bytes()}
}

func TestUndo(t *testing.T) {
	for _, text := range []string{"content", "", "x", strings.Repeat("long ", 100_000)} {
		for want, stream := range compressed(t, text) {
			reader, format, err := Undo(iotest.OneByteReader(bytes.NewReader(stream)))
			if err != nil || format != want {
				t.Fatalf("%d bytes in format %d: format %d, %v", len(text), want, format, err)
			}
			if got, err := io.ReadAll(reader); err != nil || string(got) != text {
				t.Errorf("%d bytes in format %d: got %d bytes, %v", len(text), want, len(got), err)
			}
			if err := reader.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestUndoFails(t *testing.T) {
	broken := errors.New("broken")
	if _, _, err := Undo(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("of a stream that fails: %v", err)
	}
	for format, stream := range compressed(t, "content") {
		if format == None {
			continue
		}
		reader, _, err := Undo(bytes.NewReader(stream[:len(stream)-3]))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(reader); err == nil {
			t.Errorf("one in format %d that is cut gave %q", format, got)
		}
		reader.Close()
	}
}

// A stream does not get the memory that it asks for, be it small.
func TestWindowIsBounded(t *testing.T) {
	// A frame with a window of 2 GiB and one block of nothing: RFC 8878, section 3.1.1.
	stream := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x01, 0x00, 0x00}
	reader, _, err := Undo(bytes.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if _, err := io.ReadAll(reader); !errors.Is(err, zstd.ErrWindowSizeExceeded) {
		t.Errorf("a window of 2 GiB gave %v", err)
	}
}

// FuzzUndo: whatever is sent as a compressed stream is read, or refused.
func FuzzUndo(f *testing.F) {
	for _, stream := range compressed(f, "hello") {
		f.Add(stream)
		f.Add(stream[:4])
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, stream []byte) {
		reader, format, err := Undo(bytes.NewReader(stream))
		if format != Of(stream) {
			t.Errorf("the format is %d, by how it begins %d", format, Of(stream))
		}
		if err != nil {
			return
		}
		defer reader.Close()
		// An error is as good as an end; to panic or to hang is neither.
		_, _ = io.Copy(io.Discard, io.LimitReader(reader, 64<<20))
	})
}
