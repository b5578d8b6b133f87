package server

import (
	"context"
	"errors"
	"strings"
	"testing"

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
