package runc_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"midge/runtime"
)

// BenchmarkTrue is a container of the host image from its creation over the exit of
// true to its destruction.
func BenchmarkTrue(b *testing.B) {
	w := newWorker(b)
	for i := 0; b.Loop(); i++ {
		c, err := w.FindOrCreateContainer(b.Context(), runtime.ContainerSpec{
			Handle:  fmt.Sprintf("bench-%d", i),
			Dir:     "/work",
			Image:   runtime.ImageSpec{Host: true},
			Outputs: []runtime.Output{{Path: "out"}},
		})
		if err != nil {
			b.Fatal(err)
		}
		p, err := c.Run(b.Context(), runtime.ProcessSpec{ID: "task", Path: "true"})
		if err != nil {
			b.Fatal(err)
		}
		if status, err := p.Wait(b.Context()); err != nil || status.Code != 0 {
			b.Fatal(status, err)
		}
		if err := c.Destroy(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRuncRun is what BenchmarkTrue is measured by: runc run of true by hand.
func BenchmarkRuncRun(b *testing.B) {
	bundle := b.TempDir()
	bin := filepath.Join(bundle, "rootfs", "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		b.Fatal(err)
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "true"), busybox, 0o755); err != nil {
		b.Fatal(err)
	}
	config := `{"ociVersion":"1.0.2","process":{"args":["/bin/true"],"cwd":"/","env":["PATH=/bin"]},"root":{"path":"rootfs"},
"mounts":[{"destination":"/proc","type":"proc","source":"proc"}],
"linux":{"namespaces":[{"type":"pid"},{"type":"network"},{"type":"ipc"},{"type":"uts"},{"type":"mount"}]}}`
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), []byte(config), 0o644); err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		run := exec.Command("runc", "--root", filepath.Join(bundle, "root"), "run", "--bundle", bundle, fmt.Sprintf("midge-bench-%d", i))
		if out, err := run.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
	}
}

// BenchmarkEcho is a keystroke in a terminal, and its echo.
func BenchmarkEcho(b *testing.B) {
	c := newContainer(b, newWorker(b), runtime.ContainerSpec{})
	p, err := c.Run(b.Context(), runtime.ProcessSpec{
		ID: "cat", Path: "cat", TTY: &runtime.WindowSize{Columns: 80, Rows: 25}, Scrollback: 1 << 20,
	})
	if err != nil {
		b.Fatal(err)
	}
	r, err := p.Output(b.Context(), 0)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	offset := int64(0)
	key := []byte("x")
	for b.Loop() {
		if offset%64 == 63 {
			key[0] = '\n'
		} else {
			key[0] = 'x'
		}
		if offset, err = p.Write(b.Context(), offset, key); err != nil {
			b.Fatal(err)
		}
		if _, err := r.Next(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOutput is what a task can write, to where its reader gets it.
func BenchmarkOutput(b *testing.B) {
	const size = 200 << 20
	c := newContainer(b, newWorker(b), runtime.ContainerSpec{})
	b.SetBytes(size)
	for i := 0; b.Loop(); i++ {
		p := run(b, c, fmt.Sprintf("writer-%d", i), fmt.Sprintf("exec head -c %d /dev/zero", size))
		r, err := p.Output(b.Context(), 0)
		if err != nil {
			b.Fatal(err)
		}
		got := 0
		for {
			chunk, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			got += len(chunk.Data)
		}
		r.Close()
		if got != size {
			b.Fatalf("%d bytes came of %d", got, size)
		}
	}
}
