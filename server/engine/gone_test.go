package engine

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"midge/api"
	"midge/runtime"
	"midge/runtime/runtimetest"
)

// errContainerGone is what a container says of everything that is asked of it.
var errContainerGone = errors.New("somebody has deleted the pod")

// goneWorker has containers that go once their process was started.
type goneWorker struct{ runtime.Worker }

func (w goneWorker) FindOrCreateContainer(ctx context.Context, spec runtime.ContainerSpec) (runtime.Container, error) {
	container, err := w.Worker.FindOrCreateContainer(ctx, spec)
	return goneContainer{container}, err
}

type goneContainer struct{ runtime.Container }

func (c goneContainer) Run(ctx context.Context, spec runtime.ProcessSpec) (runtime.Process, error) {
	process, err := c.Container.Run(ctx, spec)
	return goneProcess{process}, err
}

func (c goneContainer) Stop(context.Context, time.Duration) error { return errContainerGone }

type goneProcess struct{ runtime.Process }

func (p goneProcess) Output(context.Context, int64) (runtime.OutputReader, error) {
	return nil, errContainerGone
}

// What ends a task whose container is gone is said once.
func TestAContainerThatIsGone(t *testing.T) {
	s := newServer(t, goneWorker{runtimetest.NewWorker(runtimetest.Config{})})
	s.start()
	build, events := s.run(script("a", "true"))
	message := only(tell(t, events), "error ")
	if build.Status != api.StatusErrored || strings.Count(message, errContainerGone.Error()) != 1 {
		t.Errorf("the build has %s:\n%s", build.Status, message)
	}
}
