package delegation

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestInDelegatedService(t *testing.T) {
	delegated := func(cgroup string) bool { return strings.HasSuffix(cgroup, "/midge.service") }
	for own, want := range map[string]bool{
		"/system.slice/midge.service":                                        true,
		"/system.slice/midge.service/midge-server":                           true,
		"/system.slice/other.service":                                        false,
		"/user.slice/user-0.slice/session-3.scope":                           false,
		"/user.slice/user-0.slice/user@0.service/app.slice/run-u3.scope":     false,
		"/user.slice/user-0.slice/user@0.service/app.slice/other.service/in": false,
		"/system.slice/midge.service/some.scope":                             false,
		"/system.slice":                                                      false,
		"/":                                                                  false,
	} {
		if got := inDelegatedService(own, delegated); got != want {
			t.Errorf("that %s is a delegated service's is %v", own, got)
		}
	}
}

// These have a program of the name systemd-run that does not do what is asked. What
// systemd does is seen by TestService of test/dist, and with the kernel's controllers by
// TestUnifiedHierarchy of package runc.
func TestNewScopeFails(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		name    string
		ctx     context.Context
		program string
		want    string
	}{
		{"missing", t.Context(), "", "executable file not found"},
		{"refused", t.Context(), "echo Failed to connect to bus >&2; exit 1", `systemd-run says "Failed to connect to bus": `},
		{"not in the scope", t.Context(), `while [ "$1" != -- ]; do shift; done; shift; exec "$@"`, "systemd-run has left its command in the cgroup /"},
		{"no end", cancelled, "exec sleep 100000", "systemd-run does not come to an end: context canceled"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if test.program != "" {
				if err := os.WriteFile(filepath.Join(dir, "systemd-run"), []byte("#!/bin/sh\n"+test.program+"\n"), 0o700); err != nil {
					t.Fatal(err)
				}
				dir += ":" + os.Getenv("PATH")
			}
			t.Setenv("PATH", dir)
			scope, err := NewScope(test.ctx, "cat")
			if err == nil {
				scope.Close()
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want %q", err, test.want)
			}
		})
	}
}
