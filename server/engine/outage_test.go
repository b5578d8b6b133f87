package engine

import (
	"context"
	"strings"
	"testing"

	"midge/api"
	"midge/runtime"
	"midge/runtime/runtimetest"
)

// distantWorker has containers that tell of an outage.
type distantWorker struct{ runtime.Worker }

func (w distantWorker) FindOrCreateContainer(ctx context.Context, spec runtime.ContainerSpec) (runtime.Container, error) {
	container, err := w.Worker.FindOrCreateContainer(ctx, spec)
	return distantContainer{container}, err
}

type distantContainer struct{ runtime.Container }

func (c distantContainer) TellOutages(ctx context.Context, tell func(line string)) {
	tell("the container is not reached")
	<-ctx.Done()
}

// What a container tells of its being out of reach is said while its task runs.
func TestOutageIsSaid(t *testing.T) {
	s := newServer(t, distantWorker{runtimetest.NewWorker(runtimetest.Config{})})
	s.start()
	build := s.create(script("a", "while [ ! -e go ]; do sleep 0.1; done; echo end"))
	s.awaitOutput(build.ID, "midge: the container is not reached\n")
	s.inContainer(build.ID, "a", "touch go")
	build, events := s.finished(build.ID)
	if text := tell(t, events); build.Status != api.StatusSucceeded || strings.Count(text, "not reached") != 1 {
		t.Errorf("the build is %s, with\n%s", build.Status, text)
	}
}
