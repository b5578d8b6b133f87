package runc_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"midge/runtime"
	"midge/runtime/runc"
)

// agentProgram is midge-agent, built for the tests.
var agentProgram string

func TestMain(m *testing.M) {
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
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// newWorker opens a worker on a directory of its own.
func newWorker(t testing.TB, change ...func(*runc.Options)) *runc.Worker {
	t.Helper()
	options := runc.Options{
		Name:      "test",
		StateDir:  filepath.Join(t.TempDir(), "state"),
		Agent:     agentProgram,
		HostImage: true,
	}
	for _, c := range change {
		c(&options)
	}
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
	t.Cleanup(func() {
		if err := c.Destroy(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
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
