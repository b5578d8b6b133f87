package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var at = time.Unix(1700000000, 123456789)

func newWriter(t *testing.T, scrollback int64) (*Writer, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "spool")
	w, err := Create(dir, scrollback)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w, dir
}

func write(t *testing.T, w *Writer, stream uint8, data string) {
	t.Helper()
	if err := w.Write(stream, at, []byte(data)); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dir string, from int64) *Reader {
	t.Helper()
	r, err := Open(dir, from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// next gives the next record as stream:sequence:data, "" when there is none.
func next(t *testing.T, r *Reader) string {
	t.Helper()
	record, err := r.Next()
	if errors.Is(err, io.EOF) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	if !record.Time.Equal(at) {
		t.Errorf("the time is %v, want %v", record.Time, at)
	}
	return fmt.Sprintf("%d:%d:%s", record.Stream, record.Sequence, record.Data)
}

func TestReaderFollowsWriter(t *testing.T) {
	w, dir := newWriter(t, 0)
	r := open(t, dir, 0)
	for i, step := range []struct {
		write, want string
		stream      uint8
	}{{"", "", 0}, {"abc", "1:0:abc", 1}, {"", "", 0}, {"de", "2:3:de", 2}, {"f", "1:5:f", 1}, {"", "", 0}} {
		if step.write != "" {
			write(t, w, step.stream, step.write)
		}
		if got := next(t, r); got != step.want {
			t.Errorf("step %d: read %q, want %q", i, got, step.want)
		}
	}
	if w.End() != 6 || r.Sequence() != 6 {
		t.Errorf("the writer is at %d and the reader at %d, want 6", w.End(), r.Sequence())
	}
}

func TestReaderBeginsAnywhere(t *testing.T) {
	w, dir := newWriter(t, 0)
	write(t, w, 1, "abc")
	write(t, w, 2, "def")
	for from, want := range []string{"1:0:abc", "1:1:bc", "1:2:c", "2:3:def", "2:4:ef", "2:5:f", "", ""} {
		if got := next(t, open(t, dir, int64(from))); got != want {
			t.Errorf("from %d: read %q, want %q", from, got, want)
		}
	}
	if got := next(t, open(t, dir, -5)); got != "1:0:abc" {
		t.Errorf("from before the beginning: read %q", got)
	}
}

func TestSegments(t *testing.T) {
	w, dir := newWriter(t, 0)
	w.segmentSize = 50
	early := open(t, dir, 0)
	var want bytes.Buffer
	for i := range 100 {
		piece := fmt.Sprintf("piece %d;", i)
		write(t, w, 1, piece)
		want.WriteString(piece)
	}
	if firsts, err := segments(dir); err != nil || len(firsts) < 10 {
		t.Fatalf("segments %v (%v)", firsts, err)
	}
	for from := range int64(want.Len()) {
		r := open(t, dir, from)
		if from == 0 {
			r = early
		}
		if got := readAll(t, r); got != want.String()[from:] {
			t.Fatalf("from %d: read %q", from, got)
		}
		r.Close()
	}
}

func readAll(t *testing.T, r *Reader) string {
	t.Helper()
	var all bytes.Buffer
	for {
		record, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		all.Write(record.Data)
	}
}

func TestTrim(t *testing.T) {
	w, dir := newWriter(t, 0)
	w.segmentSize = 1
	slow := open(t, dir, 0)
	for i := range 10 {
		write(t, w, 1, fmt.Sprint(i))
	}
	if got := next(t, slow); got != "1:0:0" {
		t.Errorf("read %q", got)
	}
	for _, step := range []struct {
		before int64
		want   string
	}{{0, "0123456789"}, {5, "56789"}, {3, "56789"}, {100, "9"}} {
		if err := w.Trim(step.before, 0); err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, open(t, dir, 0)); got != step.want {
			t.Errorf("after Trim(%d): read %q, want %q", step.before, got, step.want)
		}
	}
	// One that was overtaken goes on where there is something.
	if got := next(t, slow); got != "1:9:9" {
		t.Errorf("a reader that was overtaken read %q", got)
	}
	write(t, w, 1, "x")
	if got := next(t, slow); got != "1:10:x" {
		t.Errorf("read %q", got)
	}
}

func TestBoundedSpoolHasSmallSegments(t *testing.T) {
	for scrollback, want := range map[int64]int64{0: segmentSize, 1: minSegmentSize, 1 << 20: 1 << 18, 1 << 40: segmentSize} {
		if w, _ := newWriter(t, scrollback); w.segmentSize != want {
			t.Errorf("a scrollback of %d has segments of %d, want %d", scrollback, w.segmentSize, want)
		}
	}
}

// What a writer left that was killed in the midst of a record ends before that.
func TestTornRecord(t *testing.T) {
	w, dir := newWriter(t, 0)
	write(t, w, 1, "whole")
	write(t, w, 1, "torn")
	path := filepath.Join(dir, segmentName(0))
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := info.Size() - 1; size >= headerSize+5; size-- {
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, open(t, dir, 0)); got != "whole" {
			t.Fatalf("of %d bytes %q was read", size, got)
		}
	}
}

func TestDamagedSpool(t *testing.T) {
	w, dir := newWriter(t, 0)
	write(t, w, 1, "whole")
	path := filepath.Join(dir, segmentName(0))
	if err := os.WriteFile(path, bytes.Repeat([]byte("damage"), 10), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, dir, 0).Next(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("reading gave error %v", err)
	}
	if _, err := Open(t.TempDir(), 0); err == nil {
		t.Error("an empty directory was opened as a spool")
	}
}

func TestRefusedRecords(t *testing.T) {
	w, dir := newWriter(t, 0)
	if err := w.Write(1, at, nil); err == nil {
		t.Error("an empty record was written")
	}
	if err := w.Write(1, at, make([]byte, MaxRecord+1)); err == nil {
		t.Error("a record that is too large was written")
	}
	write(t, w, 1, string(make([]byte, MaxRecord)))
	if got := len(readAll(t, open(t, dir, 0))); got != MaxRecord {
		t.Errorf("read %d bytes, want %d", got, MaxRecord)
	}
	if _, err := Create(dir, 0); err == nil {
		t.Error("a spool was created over another")
	}
}

func FuzzReader(f *testing.F) {
	record := append(appendHeader(nil, Record{Stream: 1, Time: at, Data: []byte("abc")}), "abc"...)
	f.Add([]byte{}, int64(0))
	f.Add(record, int64(1))
	f.Add(append(record, record[:7]...), int64(3))
	f.Fuzz(func(t *testing.T, content []byte, from int64) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, segmentName(0)), content, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Open(dir, from)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for range len(content) + 1 {
			record, err := r.Next()
			if err != nil {
				return
			}
			if len(record.Data) == 0 || len(record.Data) > len(content) {
				t.Fatalf("a record of %d bytes was read of %d", len(record.Data), len(content))
			}
		}
		t.Error("more was read than is there")
	})
}
