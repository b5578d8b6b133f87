package runc_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"midge/runtime"
	"midge/runtime/runc"
	"midge/runtime/runc/rootless"
)

// agentProgram is midge-agent, built for the tests.
var agentProgram string

// Where there is no Go to build it with, these name the agent, and the OCI runtime.
const (
	agentVariable   = "MIDGE_TEST_AGENT"
	runtimeVariable = "MIDGE_TEST_RUNTIME"
)

func TestMain(m *testing.M) {
	if os.Getenv(ordinaryVariable) != "" {
		if err := rootless.Enter(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if agentProgram = os.Getenv(agentVariable); agentProgram != "" {
		os.Exit(runTests(m))
	}
	dir, err := os.MkdirTemp("", "midge-agent-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	agentProgram = filepath.Join(dir, "midge-agent")
	build := exec.Command("go", "build", "-o", agentProgram, "midge/cmd/midge-agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build midge-agent: %v\n%s", err, out)
		os.Exit(1)
	}
	code := runTests(m)
	os.RemoveAll(dir)
	os.Exit(code)
}

// runTests runs the tests, of which none may leave a goroutine behind.
func runTests(m *testing.M) int {
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

// newWorker opens a worker on a directory of its own.
func newWorker(t testing.TB, change ...func(*runc.Options)) *runc.Worker {
	t.Helper()
	return openWorker(t, workerOptions(t, change...))
}

// workerOptions are those of a worker on a directory of its own.
func workerOptions(t testing.TB, change ...func(*runc.Options)) runc.Options {
	t.Helper()
	options := runc.Options{
		Name:      "test",
		StateDir:  filepath.Join(t.TempDir(), "state"),
		Agent:     agentProgram,
		HostImage: true,
		Runtime:   os.Getenv(runtimeVariable),
	}
	for _, c := range change {
		c(&options)
	}
	return options
}

// openWorker opens a worker until the test ends.
func openWorker(t testing.TB, options runc.Options) *runc.Worker {
	t.Helper()
	w, err := runc.New(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// newContainer makes a container that is destroyed when the test ends.
func newContainer(t testing.TB, w *runc.Worker, spec runtime.ContainerSpec) runtime.Container {
	t.Helper()
	if spec.Handle == "" {
		spec.Handle = "container"
	}
	if spec.Dir == "" {
		spec.Dir = "/work"
	}
	if spec.Image == (runtime.ImageSpec{}) {
		spec.Image.Host = true
	}
	c, err := w.FindOrCreateContainer(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { destroy(t, c) })
	return c
}

// output reads a stream of a process to its end.
func output(t testing.TB, p runtime.Process, stream runtime.Stream) string {
	t.Helper()
	r, err := p.Output(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var all bytes.Buffer
	for {
		chunk, err := r.Next()
		if err == io.EOF {
			return all.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		if chunk.Stream == stream {
			all.Write(chunk.Data)
		}
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

// run starts a shell script.
func run(t testing.TB, c runtime.Container, id, script string) runtime.Process {
	t.Helper()
	p, err := c.Run(t.Context(), runtime.ProcessSpec{ID: id, Path: "sh", Args: []string{"-c", script}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func wait(t testing.TB, p runtime.Process) runtime.ExitStatus {
	t.Helper()
	status, err := p.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return status
}

// awaitOutput waits until a process has written want, which it does first.
func awaitOutput(t testing.TB, p runtime.Process, want string) {
	t.Helper()
	r, err := p.Output(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := ""
	for got != want {
		chunk, err := r.Next()
		if err != nil {
			t.Fatalf("after %q: %v", got, err)
		}
		got += string(chunk.Data)
		if !strings.HasPrefix(want, got) {
			t.Fatalf("the process wrote %q, want %q", got, want)
		}
	}
}

func destroy(t testing.TB, what interface{ Destroy(context.Context) error }) {
	t.Helper()
	if err := what.Destroy(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}

// busyboxRootfs makes a root file system with the commands of busybox.
func busyboxRootfs(t testing.TB) string {
	t.Helper()
	top := filepath.Join(t.TempDir(), "rootfs")
	for _, dir := range []string{"bin", "etc", "dev", "proc", "sys", "tmp"} {
		if err := os.MkdirAll(filepath.Join(top, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(top, "bin", "busybox"), busybox, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sh", "cat", "echo", "find", "id", "ls", "pwd", "sleep", "stat", "test", "touch", "true"} {
		if err := os.Symlink("busybox", filepath.Join(top, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	return top
}
