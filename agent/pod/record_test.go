package pod

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"midge/agent"
	"midge/agent/spool"
)

func TestRecords(t *testing.T) {
	at := time.Unix(1700000000, 123456789)
	want := []spool.Record{
		{Stream: agent.Stdout, Sequence: 0, Time: at, Data: []byte("one")},
		{Stream: agent.Stderr, Sequence: 3, Time: at, Data: bytes.Repeat([]byte("x"), 100000)},
	}
	var stream []byte
	for _, r := range want {
		stream = appendRecord(stream, r)
	}
	for name, end := range map[string]error{"end": io.EOF, "lost": &agent.LostError{Process: "task"}} {
		t.Run(name, func(t *testing.T) {
			reader := bytes.NewReader(appendLast(bytes.Clone(stream), end))
			var buffer []byte
			for _, w := range want {
				var got spool.Record
				var err error
				got, buffer, err = readRecord(reader, buffer)
				if err != nil {
					t.Fatal(err)
				}
				if got.Stream != w.Stream || got.Sequence != w.Sequence || !got.Time.Equal(w.Time) || !bytes.Equal(got.Data, w.Data) {
					t.Errorf("got stream %d, sequence %d, time %v and %d bytes", got.Stream, got.Sequence, got.Time, len(got.Data))
				}
			}
			_, _, err := readRecord(reader, buffer)
			if lost := (*agent.LostError)(nil); err != end && !(errors.As(err, &lost) && lost.Process == "task") {
				t.Errorf("it ended with %v, want %v", err, end)
			}
		})
	}
}

// What was cut is never taken for an end.
func TestCutRecords(t *testing.T) {
	stream := appendLast(appendRecord(nil, spool.Record{Stream: agent.Stdout, Data: []byte("text")}), io.EOF)
	for n := range len(stream) {
		reader := bytes.NewReader(stream[:n])
		var err error
		for err == nil {
			_, _, err = readRecord(reader, nil)
		}
		if cut := (*cutError)(nil); !errors.As(err, &cut) {
			t.Errorf("after %d of %d bytes it ended with %v", n, len(stream), err)
		}
	}
}

func FuzzReadRecord(f *testing.F) {
	f.Add(appendRecord(nil, spool.Record{Stream: agent.Stdout, Sequence: 7, Data: []byte("text")}))
	f.Add(appendLast(nil, io.EOF))
	f.Add(appendLast(nil, &agent.Error{Kind: agent.ErrorGone, Message: "gone"}))
	f.Add([]byte{1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, stream []byte) {
		reader := bytes.NewReader(stream)
		var buffer []byte
		for {
			var record spool.Record
			var err error
			record, buffer, err = readRecord(reader, buffer)
			if err != nil {
				return
			}
			if again := appendRecord(nil, record); !bytes.Contains(stream, again) {
				t.Fatalf("%+v was read from what does not hold it", record)
			}
		}
	})
}

func FuzzReadGreeting(f *testing.F) {
	f.Add([]byte(greeting + "rest"))
	f.Add([]byte("midge-pod 2\n"))
	f.Add([]byte("sh: not found"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		err := ReadGreeting(bytes.NewReader(stream))
		if good := bytes.HasPrefix(stream, []byte(greeting)); good != (err == nil) {
			t.Fatalf("%q gave %v", stream, err)
		}
	})
}
