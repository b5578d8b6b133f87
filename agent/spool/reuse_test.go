package spool

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"
)

// A bounded spool that is written, read at two paces and trimmed gives each reader every
// byte once, and writes over its own files.
func TestSegmentsAreWrittenOver(t *testing.T) {
	const scrollback, total = 4000, 2_000_000
	w, dir := newWriter(t, scrollback)
	w.segmentSize = scrollback / 4
	random := rand.New(rand.NewPCG(1, 2))
	output := make([]byte, total)
	for i := range output {
		// Much of it looks like the beginning of a record.
		output[i] = []byte{magic, 0, 1, byte(random.UintN(256))}[random.IntN(4)]
	}
	readers := []*Reader{open(t, dir, 0), open(t, dir, 0)}
	read := func(r *Reader, records int) {
		t.Helper()
		r.Limit(w.End())
		for range records {
			from := r.Sequence()
			record, err := r.Next()
			if errors.Is(err, io.EOF) && from == w.End() {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if record.Sequence != from || !bytes.Equal(record.Data, output[from:from+int64(len(record.Data))]) {
				t.Fatalf("what was read at %d is not what was written", from)
			}
		}
	}
	writtenOver := 0
	for w.End() < total {
		n := min(1+random.Int64N(300), total-w.End())
		if err := w.Write(1, at, output[w.End():w.End()+n]); err != nil {
			t.Fatal(err)
		}
		for i, r := range readers {
			read(r, random.IntN(4*(i+1)))
		}
		least := min(readers[0].Sequence(), readers[1].Sequence())
		for w.End()-least >= scrollback {
			read(readers[random.IntN(2)], 1)
			least = min(readers[0].Sequence(), readers[1].Sequence())
		}
		if err := w.Trim(min(least, w.End()-scrollback), least); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) > 8 {
			t.Fatalf("the spool has %d files", len(entries))
		}
		if w.longer {
			writtenOver++
		}
	}
	if writtenOver == 0 {
		t.Error("no segment was written over another")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	// Nobody writes any more: all that is there is the spool's.
	r := open(t, dir, w.End()-scrollback/2)
	if got := readAll(t, r); got != string(output[total-scrollback/2:]) {
		t.Errorf("the end was read as %d bytes", len(got))
	}
}
