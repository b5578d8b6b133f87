package runc_test

import (
	"fmt"
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
