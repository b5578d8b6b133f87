package runtimetest

import (
	"crypto/sha256"
	"fmt"
	"testing"

	"midge/runtime"
)

// cat gives the spec of a process that writes what it reads.
func cat(id string) runtime.ProcessSpec {
	return runtime.ProcessSpec{ID: id, Path: "cat", Stdin: true}
}

var inputTests = map[string]func(*suite, *testing.T){
	"WithoutStdinItIsAtItsEnd": func(s *suite, t *testing.T) {
		done := run(t, s.common(t), script("none", "cat; echo end"))
		equal(t, "stdout", done.stdout, "end\n")
	},
	"WriteWithoutStdin": func(s *suite, t *testing.T) {
		container := s.common(t)
		for _, text := range []string{"sleep 100000", "exit 0"} {
			process := start(t, container, script(fmt.Sprintf("no-stdin-%d", lastProcess.Add(1)), text))
			if _, err := process.Write(testContext(t), 0, []byte("text")); err == nil {
				t.Error("Write to a process without stdin gave no error")
			}
			process.signal(t, runtime.SignalKill)
			process.wait(t)
		}
	},
	"EndOfFile": func(s *suite, t *testing.T) {
		process := start(t, s.common(t), cat("eof"))
		process.write(t, 0, "some text")
		process.await(t, "some text")
		process.closeStdin(t)
		process.closeStdin(t)
		done := process.wait(t)
		equal(t, "stdout", done.stdout, "some text")
		equal(t, "the status", done.status.Code, 0)
		process.closeStdin(t)
	},
	"WrittenAgainIsPassedOver": func(s *suite, t *testing.T) {
		process := start(t, s.common(t), cat("again"))
		ctx := testContext(t)
		for _, write := range []struct {
			offset int64
			text   string
			taken  int64
		}{{0, "hello", 5}, {0, "hello", 5}, {0, "hello world", 11}, {6, "wor", 11}, {11, "", 11}, {8, "rld!", 12}} {
			n, err := process.Write(ctx, write.offset, []byte(write.text))
			check(t, err)
			equal(t, fmt.Sprintf("the offset after Write(%d, %q)", write.offset, write.text), n, write.taken)
		}
		process.closeStdin(t)
		equal(t, "stdout", process.wait(t).stdout, "hello world!")
	},
	"BeyondWhatHasArrived": func(s *suite, t *testing.T) {
		process := start(t, s.common(t), cat("gap"))
		process.write(t, 0, "abc")
		for _, offset := range []int64{4, 1 << 40, -1} {
			if _, err := process.Write(testContext(t), offset, []byte("x")); err == nil {
				t.Errorf("Write at offset %d after 3 bytes gave no error", offset)
			}
		}
		process.write(t, 3, "def")
		process.closeStdin(t)
		equal(t, "stdout", process.wait(t).stdout, "abcdef")
	},
	"AfterTheEndOfStdin": func(s *suite, t *testing.T) {
		process := start(t, s.common(t), cat("closed"))
		process.write(t, 0, "abc")
		process.closeStdin(t)
		if _, err := process.Write(testContext(t), 3, []byte("d")); err == nil {
			t.Error("Write after CloseStdin gave no error")
		}
		equal(t, "stdout", process.wait(t).stdout, "abc")
	},
	"AfterTheEndOfTheProcess": func(s *suite, t *testing.T) {
		spec := script("gone", "exit 0")
		spec.Stdin = true
		process := start(t, s.common(t), spec)
		process.wait(t)
		if _, err := process.Write(testContext(t), 0, []byte("text")); err == nil {
			t.Error("Write to a process that has ended gave no error")
		}
	},
	"LargeAndBinary": func(s *suite, t *testing.T) {
		const size = 8 << 20
		contents := randomBytes(size)
		spec := script("sum", "sha256sum")
		spec.Stdin = true
		process := start(t, s.common(t), spec)
		for offset := int64(0); offset < size; {
			n, err := process.Write(testContext(t), offset, contents[offset:min(offset+300000, size)])
			check(t, err)
			offset = n
		}
		process.closeStdin(t)
		equal(t, "the sum", process.wait(t).stdout, fmt.Sprintf("%x  -\n", sha256.Sum256(contents)))
	},
	"WriteEndsWithItsContext": func(s *suite, t *testing.T) {
		process := start(t, s.common(t), runtime.ProcessSpec{ID: "deaf", Path: "sleep", Args: []string{"100000"}, Stdin: true})
		// Nobody reads: at some size Write has to wait, and then to end with its context.
		block := make([]byte, 1<<20)
		var taken int64
		for {
			ctx, cancel := withShortTimeout(t)
			n, err := process.Write(ctx, taken, block)
			cancel()
			if n < taken {
				t.Fatalf("Write gave offset %d after %d", n, taken)
			}
			taken = n
			if err != nil {
				break
			}
			if taken > 1<<30 {
				t.Fatal("a process that does not read has taken 1 GiB")
			}
		}
		process.signal(t, runtime.SignalKill)
		process.wait(t)
	},
}
