package runtimetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"midge/runtime"
)

// cancelled gives a context that has ended.
func cancelled(t *testing.T) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx, cancel
}

// readAll reads an output from a number on to its end, and requires the numbers
// of its bytes to follow each other.
func readAll(t *testing.T, process runtime.Process, from int64) []byte {
	t.Helper()
	reader, err := process.Output(testContext(t), from)
	check(t, err)
	defer reader.Close()
	var all []byte
	for next := from; ; {
		chunk, err := reader.Next()
		if err == io.EOF {
			return all
		}
		check(t, err)
		if chunk.Sequence != next {
			t.Fatalf("a chunk begins at %d, want %d", chunk.Sequence, next)
		}
		if len(chunk.Data) == 0 || chunk.Time.IsZero() {
			t.Fatalf("a chunk has %d bytes and time %v", len(chunk.Data), chunk.Time)
		}
		next += int64(len(chunk.Data))
		all = append(all, chunk.Data...)
	}
}

var outputTests = map[string]func(*suite, *testing.T){
	"StreamsStayApart": func(s *suite, t *testing.T) {
		done := run(t, s.common(t), script("streams", "echo to stdout; echo to stderr >&2; echo more"))
		equal(t, "stdout", done.stdout, "to stdout\nmore\n")
		equal(t, "stderr", done.stderr, "to stderr\n")
	},
	"Order": func(s *suite, t *testing.T) {
		done := run(t, s.common(t), script("order", "i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); done"))
		var want strings.Builder
		for i := range 2000 {
			fmt.Fprintln(&want, i)
		}
		equal(t, "stdout", done.stdout, want.String())
	},
	"NumbersCountBothStreams": func(s *suite, t *testing.T) {
		process := start(t, s.common(t), script("numbers", "echo one; echo two >&2; echo three"))
		process.wait(t)
		equal(t, "the length", len(readAll(t, process, 0)), len("one\ntwo\nthree\n"))
	},
	"LargeAndBinary": func(s *suite, t *testing.T) {
		const size = 8 << 20
		volume := s.volume(t)
		contents := randomBytes(size)
		check(t, volume.StreamIn(testContext(t), ".", tarOf(t, tarFile("random", 0o644, string(contents)))))
		container := s.container(t, func(spec *runtime.ContainerSpec) {
			spec.Inputs = []runtime.Input{{Artifact: volume, Path: "in"}}
		})
		process := start(t, container, script("large", "cat in/random"))
		equal(t, "the status", process.wait(t).status.Code, 0)
		if got := readAll(t, process, 0); !bytes.Equal(got, contents) {
			t.Errorf("%d bytes came that are not the %d that were written", len(got), size)
		}
		if got := readAll(t, process, size-100); !bytes.Equal(got, contents[size-100:]) {
			t.Errorf("the last 100 bytes came as %d others", len(got))
		}
	},
	"FromAnyPosition": func(s *suite, t *testing.T) {
		process := start(t, s.common(t), script("positions", "printf 0123456789; printf abcdef"))
		process.wait(t)
		for from := range int64(17) {
			equal(t, fmt.Sprintf("the output from %d", from), string(readAll(t, process, from)), "0123456789abcdef"[from:])
		}
	},
	"FromBeyondTheEnd": func(s *suite, t *testing.T) {
		process := start(t, s.common(t), script("beyond", "echo text"))
		process.wait(t)
		equal(t, "the output", string(readAll(t, process, 1000)), "")
	},
	"ManyReaders": func(s *suite, t *testing.T) {
		spec := script("readers", "echo first; read line; yes | head -n 100000; echo last")
		spec.Stdin = true
		process := start(t, s.common(t), spec)
		results := make(chan []byte)
		for range 5 {
			go func() { results <- readAll(t, process, 0) }()
		}
		idle, err := process.Output(testContext(t), 0)
		check(t, err)
		defer idle.Close()
		process.write(t, 0, "go\n")
		want := "first\n" + strings.Repeat("y\n", 100000) + "last\n"
		for range 5 {
			if got := <-results; string(got) != want {
				t.Errorf("a reader has got %d bytes, want %d", len(got), len(want))
			}
		}
		chunk, err := idle.Next()
		check(t, err)
		equal(t, "the number that a late reader begins at", chunk.Sequence, 0)
	},
	"NextWaitsForMore": func(s *suite, t *testing.T) {
		spec := script("wait", "read line; echo $line; read line; echo $line")
		spec.Stdin = true
		process := start(t, s.common(t), spec)
		process.write(t, 0, "one\n")
		process.await(t, "one\n")
		process.write(t, 4, "two\n")
		process.await(t, "one\ntwo\n")
		process.wait(t)
	},
	"NextEndsWithItsContext": func(s *suite, t *testing.T) {
		spec := script("silent", "read line")
		spec.Stdin = true
		process := start(t, s.common(t), spec)
		ctx, cancel := context.WithCancel(testContext(t))
		reader, err := process.Output(ctx, 0)
		check(t, err)
		defer reader.Close()
		ended := make(chan error)
		go func() {
			_, err := reader.Next()
			ended <- err
		}()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Next gave %v, want %v", err, context.Canceled)
		}
		process.write(t, 0, "go\n")
		process.wait(t)
	},
	"CloseEndsNext": func(s *suite, t *testing.T) {
		spec := script("closed", "read line")
		spec.Stdin = true
		process := start(t, s.common(t), spec)
		reader, err := process.Output(testContext(t), 0)
		check(t, err)
		ended := make(chan error)
		go func() {
			_, err := reader.Next()
			ended <- err
		}()
		check(t, reader.Close())
		if err := <-ended; err == nil {
			t.Error("Next of a reader that was closed gave no error")
		}
		process.write(t, 0, "go\n")
		process.wait(t)
	},
	"ScrollbackKeepsAtLeastSoMuch": func(s *suite, t *testing.T) {
		const scrollback = 256 << 10
		spec := script("scrollback", "yes | head -c 4194304; echo; echo end")
		spec.Scrollback = scrollback
		process := start(t, s.common(t), spec)
		done := process.wait(t)
		// The reader that follows from the start has missed nothing.
		equal(t, "the length of the output", len(done.stdout), 4194304+len("\nend\n"))
		reader, err := process.Output(testContext(t), 0)
		check(t, err)
		defer reader.Close()
		chunk, err := reader.Next()
		check(t, err)
		kept := int64(len(done.stdout)) - chunk.Sequence
		if kept < scrollback || kept > int64(len(done.stdout))/2 {
			t.Errorf("%d bytes are kept of %d, of which at least %d must be", kept, len(done.stdout), scrollback)
		}
	},
	"ScrollbackHoldsTheUnread": func(s *suite, t *testing.T) {
		spec := script("unread", "yes | head -c 2097152; echo end")
		spec.Scrollback = 1 << 10
		process, err := s.common(t).Run(testContext(t), spec)
		check(t, err)
		// Nobody has read yet, whenever the first reader comes.
		if got := follow(t, process).wait(t).stdout; len(got) != 2097152+len("end\n") {
			t.Errorf("the first reader has got %d bytes of %d", len(got), 2097152+len("end\n"))
		}
	},
	"ScrollbackKeepsWhatWasReadLast": func(s *suite, t *testing.T) {
		const scrollback, total = 1 << 20, 8 << 20
		spec := script("again", fmt.Sprintf("yes | head -c %d", total))
		spec.Scrollback = scrollback
		process, err := s.common(t).Run(testContext(t), spec)
		check(t, err)
		for from := int64(0); from < total; {
			reader, err := process.Output(testContext(t), from)
			check(t, err)
			read := from
			for first := true; read < from+3*scrollback/2; first = false {
				chunk, err := reader.Next()
				if errors.Is(err, io.EOF) {
					check(t, reader.Close())
					return
				}
				check(t, err)
				if first {
					equal(t, "where who comes back goes on", chunk.Sequence, from)
				}
				read = chunk.Sequence + int64(len(chunk.Data))
			}
			check(t, reader.Close())
			from = read - scrollback/2
		}
	},
	"ASlowReaderKeepsNobodyWaiting": func(s *suite, t *testing.T) {
		const total = 4 << 20
		spec := script("slow", fmt.Sprintf("read go; yes | head -c %d", total))
		spec.Scrollback, spec.Stdin = 64<<10, true
		process := start(t, s.common(t), spec)
		slow, err := process.Output(testContext(t), 0)
		check(t, err)
		defer slow.Close()
		process.write(t, 0, "go\n")
		equal(t, "what the fast reader has got", len(process.wait(t).stdout), total)
	},
	"OfAProcessThatHasEnded": func(s *suite, t *testing.T) {
		container := s.common(t)
		run(t, container, script("old", "echo kept"))
		process, err := container.Attach(testContext(t), "old")
		check(t, err)
		equal(t, "the output", string(readAll(t, process, 0)), "kept\n")
	},
}

// withShortTimeout gives a context that ends soon: for what is expected to wait
// until then.
func withShortTimeout(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), shortTimeout)
}
