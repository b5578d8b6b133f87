//go:build cluster

package kubernetes_test

import "testing"

// Two servers may have workers of one name in one namespace: neither sees, nor removes, what
// the other's builds have, though their containers have the same handles.
func TestWorkersOfOneName(t *testing.T) {
	t.Parallel()
	options := newOptions(t)
	first := newWorker(t, options)
	container := newContainer(t, first, newSpec("b1-task"))
	others := options
	others.StateDir = t.TempDir()
	second := newWorker(t, others)
	if handles, err := second.Containers(t.Context()); err != nil || len(handles) != 0 {
		t.Errorf("the second worker has %q, %v", handles, err)
	}
	if _, err := second.LookupContainer(t.Context(), "b1-task"); !isNotFound(err) {
		t.Errorf("to look for the first's container gave %v", err)
	}
	other := newContainer(t, second, newSpec("b1-task"))
	if got := output(t, begin(t, other, "task", "echo the second")); got != "the second\n" {
		t.Errorf("the output is %q", got)
	}
	if got := output(t, begin(t, container, "task", "echo the first")); got != "the first\n" {
		t.Errorf("the output is %q", got)
	}
	// One that comes back finds its own.
	first = newWorker(t, options)
	if _, err := first.LookupContainer(t.Context(), "b1-task"); err != nil {
		t.Error(err)
	}
	if handles, err := first.Containers(t.Context()); err != nil || len(handles) != 1 {
		t.Errorf("the first worker has %q, %v", handles, err)
	}
}
