package server

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"midge/runtime"
	"midge/runtime/runtimetest"
	"midge/server/state"
)

// goneWorker is one that nobody reaches any more.
type goneWorker struct {
	runtime.Worker
	lists bool // it still lists its containers
}

var errGone = errors.New("connection refused")

func (w goneWorker) Containers(context.Context) ([]string, error) {
	if w.lists {
		return []string{"first", "second"}, nil
	}
	return nil, errGone
}

func (w goneWorker) LookupContainer(context.Context, string) (runtime.Container, error) {
	return nil, errGone
}

// untidyWorker is one on which a crash has left something.
type untidyWorker struct {
	runtime.Worker
	left int
}

func (w *untidyWorker) RemoveLeftovers(context.Context) (int, error) {
	n := w.left
	w.left = 0
	return n, nil
}

// A server that is to destroy all containers leaves nothing of a crash either, and the
// next is told of no container that is gone, but of those whose builds it is to end.
func TestDestroyOnExitLeavesNothing(t *testing.T) {
	dir := shortDir(t)
	worker := &untidyWorker{runtimetest.NewWorker(runtimetest.Config{Name: "one"}), 2}
	config := testConfig(dir)
	config.DestroyOnExit = true
	config.OpenWorkers = func(context.Context, string) ([]runtime.Worker, func(), error) {
		return []runtime.Worker{worker}, nil, nil
	}
	s, err := New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	for handle, finished := range map[string]time.Time{"ended": time.Now(), "running": {}} {
		if _, err := worker.FindOrCreateContainer(t.Context(), runtime.ContainerSpec{Handle: handle, Dir: "/work", Image: runtime.ImageSpec{Host: true}}); err != nil {
			t.Fatal(err)
		}
		if err := s.database.SaveContainer(t.Context(), state.Container{Handle: handle, Team: "main", Worker: "one", FinishedAt: finished}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if handles, err := worker.Containers(t.Context()); err != nil || len(handles) > 0 || worker.left > 0 {
		t.Errorf("there are the containers %q and %d things that a crash has left (%v)", handles, worker.left, err)
	}
	database, err := state.Open(t.Context(), s.dir.databasePath())
	if err != nil {
		t.Fatal(err)
	}
	defer database.Close()
	rows, err := database.Containers(t.Context(), state.ContainerFilter{})
	if err != nil || len(rows) != 1 || rows[0].Handle != "running" {
		t.Errorf("the next server is told of %+v (%v)", rows, err)
	}
}

// What a server that ends cannot destroy it names.
func TestDestroyOnExitSaysWhatIsLeft(t *testing.T) {
	for name, lists := range map[string]bool{"nothing answers": false, "it lists them": true} {
		t.Run(name, func(t *testing.T) {
			config := testConfig(shortDir(t))
			config.DestroyOnExit = true
			worker := goneWorker{runtimetest.NewWorker(runtimetest.Config{Name: "cluster"}), lists}
			config.OpenWorkers = func(context.Context, string) ([]runtime.Worker, func(), error) {
				return []runtime.Worker{worker}, nil, nil
			}
			s, err := New(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			for _, handle := range []string{"first", "second"} {
				if err := s.database.SaveContainer(t.Context(), state.Container{Handle: handle, Team: "main", Worker: "cluster"}); err != nil {
					t.Fatal(err)
				}
			}
			want := `the containers of worker "cluster" cannot be destroyed, and are left for you to remove: first, second: connection refused`
			if err := s.Shutdown(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Shutdown gave %v, want %s", err, want)
			}
		})
	}
}
