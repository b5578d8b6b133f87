package eventlog

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// writeSegments makes a log of whole records and gives its directory, its last
// segment and the bytes of that.
func writeSegments(t *testing.T, n int) (dir, last string, b []byte) {
	t.Helper()
	dir = t.TempDir()
	log := open(t, newStore(dir))
	for i := range n {
		add(t, log, event(i))
	}
	segments, err := listSegments(filepath.Join(dir, "12"))
	if err != nil {
		t.Fatal(err)
	}
	last = segments[len(segments)-1].path
	b, err = os.ReadFile(last)
	if err != nil {
		t.Fatal(err)
	}
	return dir, last, b
}

// records gives the offset of each record in a segment, the head's first, and its size.
func records(t *testing.T, b []byte) []int {
	t.Helper()
	_, n, err := parseHead(b, 0)
	if err != nil {
		t.Fatal(err)
	}
	offsets := []int{0}
	for at := n; at < len(b); at += n {
		offsets = append(offsets, at)
		if _, n, err = parseRecord(b[at:]); err != nil {
			t.Fatal(err)
		}
	}
	return append(offsets, len(b))
}

// checkGoesOn checks that the log has the first n events and takes more.
func checkGoesOn(t *testing.T, dir string, n int) {
	t.Helper()
	log := reopen(t, dir)
	if log.Next() != int64(n) {
		t.Fatalf("%d events are left, want %d", log.Next(), n)
	}
	add(t, log, event(n))
	finish(t, log, event(n+1))
	for _, log := range []*Log{log, reopen(t, dir)} {
		if got := readAll(t, log, 0); !slices.Equal(got, want(0, n+2)) {
			t.Fatalf("got %q", got)
		}
	}
}

func TestCrashWithinTheLastRecord(t *testing.T) {
	const n = 3
	_, _, whole := writeSegments(t, n)
	last := records(t, whole)[n]
	for size := last; size < len(whole); size++ {
		state, err := scanSegment(whole[:size], 0)
		if err != nil || state.next != n-1 || state.size != int64(last) {
			t.Fatalf("cut at %d: %d events in %d bytes, %v", size, state.next, state.size, err)
		}
	}
	for _, size := range []int{last, last + 1, last + recordFrame, len(whole) - 1} {
		dir, path, _ := writeSegments(t, n)
		if err := os.Truncate(path, int64(size)); err != nil {
			t.Fatal(err)
		}
		checkGoesOn(t, dir, n-1)
	}
}

func TestCrashWithinTheHead(t *testing.T) {
	_, _, whole := writeSegments(t, 1)
	head := records(t, whole)[1]
	for size := range head {
		if _, err := scanSegment(whole[:size], 0); !errors.Is(err, errShort) {
			t.Fatalf("cut at %d: %v", size, err)
		}
	}
	for _, size := range []int{0, 1, len(segmentMagic), head - 1} {
		dir, path, _ := writeSegments(t, 1)
		if err := os.Truncate(path, int64(size)); err != nil {
			t.Fatal(err)
		}
		checkGoesOn(t, dir, 0)
	}
}

func TestPowerFailureWithinTheLastRecord(t *testing.T) {
	const n = 3
	_, _, whole := writeSegments(t, n)
	last := records(t, whole)[n]
	// What a file system leaves of data it had no time for: other bytes, and zeros.
	damaged := func(at int) []byte {
		b := append(slices.Clone(whole), make([]byte, 100)...)
		b[at] ^= 0x40
		return b
	}
	for at := last; at < len(whole); at++ {
		state, err := scanSegment(damaged(at), 0)
		if err != nil || state.next != n-1 || state.size != int64(last) {
			t.Fatalf("damaged at %d: %d events in %d bytes, %v", at, state.next, state.size, err)
		}
	}
	for _, at := range []int{last, last + recordFrame, len(whole) - 1} {
		dir, path, _ := writeSegments(t, n)
		if err := os.WriteFile(path, damaged(at), 0o600); err != nil {
			t.Fatal(err)
		}
		checkGoesOn(t, dir, n-1)
	}
}

func TestCrashWhileASegmentWasBegun(t *testing.T) {
	dir := t.TempDir()
	log := open(t, newStore(dir))
	n := fill(t, log)
	if err := os.WriteFile(segmentAt(filepath.Join(dir, "12"), int64(n)).path, []byte(segmentMagic), 0o600); err != nil {
		t.Fatal(err)
	}
	again := reopen(t, dir)
	if again.Next() != int64(n) {
		t.Fatalf("%d events are left, want %d", again.Next(), n)
	}
	finish(t, again, event(n))
	if got := readAll(t, again, int64(n)); !slices.Equal(got, want(n, n+1)) {
		t.Errorf("got %q", got)
	}
}

func TestDamageInTheMiddleIsAnError(t *testing.T) {
	dir := t.TempDir()
	log := open(t, newStore(dir))
	fill(t, log)
	segments, err := listSegments(filepath.Join(dir, "12"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(segments[0].path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(segments[0].path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	reader := reopen(t, dir).From(0)
	for {
		if _, err = reader.Next(t.Context()); err != nil {
			break
		}
		if reader.next > segments[1].first {
			t.Fatal("the damage was passed over")
		}
	}
	t.Log(err)
}

func FuzzParseRecord(f *testing.F) {
	for _, r := range []record{
		{kind: recordHead, number: 7, marks: []Mark{{"output/1", 1 << 40}, {"", -1}}, ended: true},
		{kind: recordEvent, number: 0, event: event(3)},
		{kind: recordEnd, number: 300},
	} {
		b, err := r.appendTo(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(append([]byte(segmentMagic), b...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, n, err := parseRecord(b); err == nil {
			again, err := r.appendTo(nil)
			if err != nil {
				t.Fatal(err)
			}
			r2, _, err := parseRecord(again)
			if err != nil || n > len(b) || r2.number != r.number || !slices.Equal(r2.event.Marks, r.event.Marks) ||
				string(r2.event.Data) != string(r.event.Data) || !slices.Equal(r2.marks, r.marks) {
				t.Errorf("%+v came back as %+v, %v", r, r2, err)
			}
		}
		if state, err := scanSegment(b, 0); err == nil && state.size > int64(len(b)) {
			t.Errorf("%d of %d bytes are whole records", state.size, len(b))
		}
	})
}
