package pod

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"midge/agent/spool"
)

// logOf gives a log of records, each after the one before, and all of their output.
func logOf(pieces ...[]byte) (log, all []byte) {
	at := time.Unix(1, 2)
	for i, data := range pieces {
		log = appendLogged(log, spool.Record{Stream: uint8(1 + i%2), Sequence: int64(len(all)), Time: at, Data: data})
		all = append(all, data...)
	}
	return log, all
}

// readAll gives all of a log's output from a sequence number on, which follows itself.
func readAll(t *testing.T, l *Log, from int64) []byte {
	t.Helper()
	var all []byte
	for {
		r, err := l.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if r.Sequence != from+int64(len(all)) {
			t.Fatalf("a record is numbered %d after %d bytes from %d on", r.Sequence, len(all), from)
		}
		all = append(all, r.Data...)
	}
}

func TestLog(t *testing.T) {
	noise := make([]byte, 10_000)
	rand.NewChaCha8([32]byte{1}).Read(noise)
	log, all := logOf([]byte("text\n"), noise, []byte("\"quoted\" \\ ünï\x00\xff"), bytes.Repeat([]byte("long "), 5000), []byte("end"))
	for line := range bytes.Lines(log) {
		if len(line) > maxLine {
			t.Errorf("a line has %d bytes", len(line))
		}
	}
	ended := slices.Concat(log, []byte("exit {\"code\":3}\n"))
	for from := int64(0); from < int64(len(all)); from += 997 {
		l := ReadLog(iotest.HalfReader(bytes.NewReader(ended)), from)
		if got := readAll(t, l, from); !bytes.Equal(got, all[from:]) {
			t.Fatalf("from %d on there are %d bytes, and not what was written", from, len(got))
		}
		if exit := l.Exit(); exit == nil || exit.Code != 3 {
			t.Errorf("it ended with %+v", exit)
		}
	}
	l := ReadLog(bytes.NewReader(log), 0)
	if readAll(t, l, 0); l.Exit() != nil {
		t.Error("a log that does not say how the task ended does")
	}
}

// What others write there, and what was cut, is no output.
func TestLogOfOthers(t *testing.T) {
	log, all := logOf([]byte("one\n"), []byte("two\n"))
	for name, text := range map[string]string{
		"a remark":       "2026/01/01 00:00:00 ERROR the supervisor has ended error=x\n",
		"a long line":    strings.Repeat("x", 300_000) + "\n",
		"another record": "0 1 1 `raw`\n0 1 1 'r'\n0 1 7 \"x\"\n-1 1 1 \"x\"\n0 1 1 \"\"\n0 1 1\n\n0\nexit\nexit {\n",
	} {
		l := ReadLog(strings.NewReader(text+string(log)+text), 0)
		if got := readAll(t, l, 0); !bytes.Equal(got, all) || l.Exit() != nil {
			t.Errorf("%s: %q, %v", name, got, l.Exit())
		}
	}
	if got := readAll(t, ReadLog(bytes.NewReader(log[:len(log)-3]), 0), 0); string(got) != "one\n" {
		t.Errorf("of a log that was cut %q is there", got)
	}
	broken := errors.New("the connection is cut")
	l := ReadLog(io.MultiReader(bytes.NewReader(log), iotest.ErrReader(broken)), int64(len(all)))
	if _, err := l.Next(); !errors.Is(err, broken) {
		t.Errorf("a log that cannot be read gave %v", err)
	}
}

func FuzzLog(f *testing.F) {
	log, _ := logOf([]byte("text\n"), []byte("\xff\"\\"))
	f.Add(log, int64(0))
	f.Add([]byte("exit {\"code\":3}\n9223372036854775807 1 1 \"x\"\n"), int64(1))
	f.Fuzz(func(t *testing.T, log []byte, from int64) {
		l := ReadLog(bytes.NewReader(log), max(from, 0))
		next := max(from, 0)
		for {
			r, err := l.Next()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
				return
			}
			if r.Sequence < next || len(r.Data) == 0 {
				t.Fatalf("a record of %d bytes is numbered %d, after %d", len(r.Data), r.Sequence, next)
			}
			next = r.Sequence + int64(len(r.Data))
		}
	})
}
