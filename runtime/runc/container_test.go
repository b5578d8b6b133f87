package runc_test

import (
	"testing"

	"midge/runtime"
)

func TestRunTellsOutputAndExitStatus(t *testing.T) {
	w := newWorker(t)
	c := newContainer(t, w, runtime.ContainerSpec{})
	p, err := c.Run(t.Context(), runtime.ProcessSpec{
		ID:   "task",
		Path: "sh",
		Args: []string{"-c", "echo out; echo err >&2; pwd; id; ls -la / /dev; cat /proc/mounts; cat /etc/shadow; ps aux; env; exit 3"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(output(t, p, runtime.Stdout))
	t.Log(output(t, p, runtime.Stderr))
	status, err := p.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if status.Code != 3 {
		t.Errorf("exit status %+v, want code 3", status)
	}
}
