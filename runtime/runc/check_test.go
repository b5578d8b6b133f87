package runc_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"midge/runtime/runc"
)

// A runtime that is taken away is found before somebody needs a container.
func TestCheckRuntime(t *testing.T) {
	program := filepath.Join(t.TempDir(), "runc")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	w := newWorker(t, func(options *runc.Options) { options.Runtime = program })
	if err := w.CheckRuntime(t.Context()); err != nil {
		t.Error(err)
	}
	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	if err := w.CheckRuntime(t.Context()); err == nil || !strings.Contains(err.Error(), program) {
		t.Errorf("without its runtime the worker says %v", err)
	}
}
