package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A server that does not start is said to, and nothing of it stays.
func TestServerThatDoesNotStart(t *testing.T) {
	for name, test := range map[string]struct{ program, want string }{
		"missing":    {"", "start the server"},
		"ends":       {"#!/bin/sh\necho the disk is full; exit 1\n", "the disk is full"},
		"is no file": {"#!/nowhere\n", "start the server"},
	} {
		t.Run(name, func(t *testing.T) {
			temporary, binaries := t.TempDir(), t.TempDir()
			t.Setenv("TMPDIR", temporary)
			if test.program != "" {
				if err := os.WriteFile(filepath.Join(binaries, "midge-server"), []byte(test.program), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			_, err := newBench(t.Context(), binaries)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("it gave %v", err)
			}
			if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
				t.Errorf("%v is left, %v", left, err)
			}
		})
	}
}
