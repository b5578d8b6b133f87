package runtimetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"midge/runtime"
)

// Options says what the suite may expect of a runtime.
type Options struct {
	// Image is an image with /bin/sh and the usual small commands, of coreutils or
	// busybox: cat, chmod, cp, env, head, id, ln, ls, mkdir, rm, sha256sum, sleep,
	// stat, stty, touch, uname and yes. Its /etc/passwd has root and nobody, 65534. It
	// has no entrypoint and nothing else to run of itself.
	Image runtime.ImageSpec

	// Env is what the image sets in the environment, NAME=VALUE.
	Env []string

	// CanLimitMemory tells that a container's memory limit is enforced, and that
	// a process killed for it is reported as such.
	CanLimitMemory bool
	// CanLimitPids tells that a container's limit of processes is enforced.
	CanLimitPids bool
	// CanLimitDisk tells that a container's limit of what it takes on the disk is enforced.
	CanLimitDisk bool
	// CanTellChanges tells that what changed in a container is known; where it is not,
	// asking for it is refused.
	CanTellChanges bool
	// CanCutOff tells that a container may be hermetic; where it may not, that is refused.
	CanCutOff bool
	// CanLimitOpenFiles tells that a container's limit of open files is enforced.
	CanLimitOpenFiles bool

	// Reopen gives what a server that was started anew has in place of a worker:
	// one on the same state, the other having gone without a word. Nil has the
	// worker itself go on.
	Reopen func(t *testing.T, worker runtime.Worker) runtime.Worker
}

// A shell that traps a signal sees it at once only in wait: what comes between two
// commands, of which the second does not end, is seen never. So the scripts of the
// suite wait for a job in the background where they trap.

// patience is how long a test waits for what must come. It is only met by what
// hangs; nothing in the suite measures time.
const patience = 3 * time.Minute

// Run has every test of the suite run on a worker that newWorker makes. The
// worker ends with the test it was given. At the end nothing may be left on it.
func Run(t *testing.T, newWorker func(t *testing.T) runtime.Worker, options Options) {
	s := &suite{worker: newWorker(t), newWorker: newWorker, options: options, lastHandle: new(atomic.Int64)}
	t.Run("Conformance", func(t *testing.T) {
		for name, tests := range map[string]map[string]func(*suite, *testing.T){
			"Worker": workerTests, "Container": containerTests, "Process": processTests, "Output": outputTests,
			"Input": inputTests, "Terminal": terminalTests, "Volume": volumeTests, "Archive": archiveTests,
			"Mount": mountTests, "Cache": cacheTests, "Lifetime": lifetimeTests, "Executable": executableTests,
			"Local": localTests, "Restart": restartTests, "Files": filesTests,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := s.group(t)
				for name, test := range tests {
					t.Run(name, func(t *testing.T) {
						t.Parallel()
						test(s, t)
					})
				}
			})
		}
	})
	s.checkNothingLeft(t)
}

// suite is what the tests share.
type suite struct {
	worker     runtime.Worker
	newWorker  func(t *testing.T) runtime.Worker
	options    Options
	lastHandle *atomic.Int64
	shared     func() (runtime.Container, error) // by the tests of a group
}

// group gives the suite for tests that share a container, which goes with t.
func (s *suite) group(t *testing.T) *suite {
	group := *s
	group.shared = sync.OnceValues(func() (runtime.Container, error) {
		container, err := s.worker.FindOrCreateContainer(t.Context(), s.spec())
		if err == nil {
			destroyLater(t, container)
		}
		return container, err
	})
	return &group
}

func (s *suite) checkNothingLeft(t *testing.T) {
	ctx := testContext(t)
	containers, err := s.worker.Containers(ctx)
	check(t, err)
	if len(containers) > 0 {
		t.Errorf("containers are left: %v", containers)
	}
	volumes, err := s.worker.Volumes(ctx)
	check(t, err)
	if len(volumes) > 0 {
		t.Errorf("volumes are left: %+v", volumes)
	}
}

// shortTimeout ends what is expected to wait. Where it ends what was merely slow,
// the test goes on from there.
const shortTimeout = 200 * time.Millisecond

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// handle gives a name that no other test has, and that no other begins with: caches are
// cleared by how their keys begin.
func (s *suite) handle(kind string) string {
	return fmt.Sprintf("%s-%05d", kind, s.lastHandle.Add(1))
}

// spec gives the spec of a container like most in the tests.
func (s *suite) spec() runtime.ContainerSpec {
	return runtime.ContainerSpec{Handle: s.handle("container"), Dir: "/tmp/build", Image: s.options.Image}
}

// container makes a container that is destroyed at the end of the test. change
// may be nil.
func (s *suite) container(t *testing.T, change func(*runtime.ContainerSpec)) runtime.Container {
	t.Helper()
	spec := s.spec()
	if change != nil {
		change(&spec)
	}
	container, err := s.worker.FindOrCreateContainer(testContext(t), spec)
	check(t, err)
	destroyLater(t, container)
	return container
}

// common gives a container that the tests of the group share. Each has processes and
// files of names there that no other has, and leaves the rest as it is.
func (s *suite) common(t *testing.T) runtime.Container {
	t.Helper()
	container, err := s.shared()
	check(t, err)
	return container
}

func destroyLater(t *testing.T, what interface{ Destroy(context.Context) error }) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := what.Destroy(ctx); err != nil {
			t.Errorf("destroy: %v", err)
		}
	})
}

// volume makes a volume that is destroyed at the end of the test.
func (s *suite) volume(t *testing.T) runtime.Volume {
	t.Helper()
	volume, err := s.worker.CreateVolume(testContext(t), s.handle("volume"))
	check(t, err)
	destroyLater(t, volume)
	return volume
}

// script gives the spec of a process that runs a shell script.
func script(id, text string) runtime.ProcessSpec {
	return runtime.ProcessSpec{ID: id, Path: "/bin/sh", Args: []string{"-c", text}}
}

// result is what became of a process.
type result struct {
	stdout, stderr string
	status         runtime.ExitStatus
}

// run runs a process to its end.
func run(t *testing.T, container runtime.Container, spec runtime.ProcessSpec) result {
	t.Helper()
	return start(t, container, spec).wait(t)
}

var lastProcess atomic.Int64

// runScript runs a script that must succeed, and gives its stdout.
func runScript(t *testing.T, container runtime.Container, text string) string {
	t.Helper()
	done := run(t, container, script(fmt.Sprintf("script-%d", lastProcess.Add(1)), text))
	if done.status.Code != 0 {
		t.Fatalf("%s\ngave status %+v, stdout %q, stderr %q", text, done.status, done.stdout, done.stderr)
	}
	return done.stdout
}

// started is a process whose output is being read.
type started struct {
	runtime.Process

	mu             sync.Mutex
	stdout, stderr strings.Builder
	err            error
	changed        chan struct{}
	end            chan struct{}
}

func start(t *testing.T, container runtime.Container, spec runtime.ProcessSpec) *started {
	t.Helper()
	process, err := container.Run(testContext(t), spec)
	check(t, err)
	return follow(t, process)
}

// follow reads a process's output from its first byte.
func follow(t *testing.T, process runtime.Process) *started {
	t.Helper()
	p := &started{Process: process, changed: make(chan struct{}), end: make(chan struct{})}
	reader, err := process.Output(testContext(t), 0)
	check(t, err)
	go func() {
		defer close(p.end)
		defer reader.Close()
		for p.take(reader.Next()) {
		}
	}()
	return p
}

// take keeps a chunk, and tells whether there may be more.
func (p *started) take(chunk runtime.Chunk, err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.err = err
		return false
	}
	if chunk.Stream == runtime.Stderr {
		p.stderr.Write(chunk.Data)
	} else {
		p.stdout.Write(chunk.Data)
	}
	close(p.changed)
	p.changed = make(chan struct{})
	return true
}

// await waits until stdout contains text.
func (p *started) await(t *testing.T, text string) {
	t.Helper()
	p.awaitThat(t, fmt.Sprintf("%q", text), func(stdout string) bool { return strings.Contains(stdout, text) })
}

func (p *started) awaitThat(t *testing.T, what string, found func(stdout string) bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		p.mu.Lock()
		stdout, stderr, changed := p.stdout.String(), p.stderr.String(), p.changed
		p.mu.Unlock()
		if found(stdout) {
			return
		}
		select {
		case <-changed:
			continue
		case <-p.end:
		case <-deadline.C:
		}
		p.mu.Lock()
		stdout, err := p.stdout.String(), p.err
		p.mu.Unlock()
		if found(stdout) {
			return
		}
		t.Fatalf("no %s in stdout %q (stderr %q, end of output: %v)", what, stdout, stderr, err)
	}
}

// wait waits for the process's end and all of its output.
func (p *started) wait(t *testing.T) result {
	t.Helper()
	status, err := p.Wait(testContext(t))
	check(t, err)
	<-p.end
	if p.err != io.EOF {
		t.Fatalf("the output ended with %v, want EOF", p.err)
	}
	return result{p.stdout.String(), p.stderr.String(), status}
}

// write gives the process all of its input at once.
func (p *started) write(t *testing.T, offset int64, text string) {
	t.Helper()
	n, err := p.Write(testContext(t), offset, []byte(text))
	check(t, err)
	if want := offset + int64(len(text)); n != want {
		t.Fatalf("Write took %d bytes, want %d", n, want)
	}
}

func (p *started) closeStdin(t *testing.T) {
	t.Helper()
	check(t, p.CloseStdin(testContext(t)))
}

func (p *started) signal(t *testing.T, signal runtime.Signal) {
	t.Helper()
	check(t, p.Signal(testContext(t), signal))
}

// wantNotFound requires a *runtime.NotFoundError.
func wantNotFound(t *testing.T, err error, what string) {
	t.Helper()
	var notFound *runtime.NotFoundError
	if !errors.As(err, &notFound) {
		t.Errorf("%s gave error %v (%T), want a *NotFoundError", what, err, err)
	}
}

// wantSpecError requires a *runtime.SpecError.
func wantSpecError(t *testing.T, err error, what string) {
	t.Helper()
	var specErr *runtime.SpecError
	if !errors.As(err, &specErr) {
		t.Errorf("%s gave error %v (%T), want a *SpecError", what, err, err)
	}
}

// wantTarError requires a *runtime.TarError.
func wantTarError(t *testing.T, err error, what string) {
	t.Helper()
	var tarErr *runtime.TarError
	if !errors.As(err, &tarErr) {
		t.Errorf("%s gave error %v (%T), want a *TarError", what, err, err)
	}
}

// equal requires a value.
func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}
