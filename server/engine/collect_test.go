package engine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"midge/runtime"
	"midge/runtime/runtimetest"
	"midge/server/state"
)

func (s *server) collect() {
	s.t.Helper()
	if _, err := s.engine.Collect(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// checkContainers checks of which builds there are containers, by their rows and on the worker.
func (s *server) checkContainers(builds ...int) {
	s.t.Helper()
	rows, err := s.options.State.Containers(s.t.Context(), state.ContainerFilter{})
	if err != nil {
		s.t.Fatal(err)
	}
	var got []int
	var named []string
	for _, row := range rows {
		got, named = append(got, row.BuildID), append(named, row.Handle)
	}
	slices.Sort(got)
	if !slices.Equal(got, builds) {
		s.t.Errorf("there are rows of containers of the builds %v, want %v", got, builds)
	}
	handles, err := s.options.Workers.Workers()[0].Containers(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	slices.Sort(handles)
	slices.Sort(named)
	if !slices.Equal(handles, named) {
		s.t.Errorf("the worker has the containers %v, and the rows name %v", handles, named)
	}
}

func TestCollectRemovesContainersOfFinishedBuilds(t *testing.T) {
	s := newServer(t)
	s.start()
	done, _ := s.run(good)
	failed, _ := s.run(bad)
	running := s.create(`{"do":[` + good + `,` + forever("a") + `]}`)
	s.awaitOutput(running.ID, "a runs")
	s.checkContainers(done.ID, failed.ID, running.ID, running.ID)
	s.collect()
	s.checkContainers(running.ID, running.ID)
}

func TestCollectLeavesGraceAndWhatIsHeld(t *testing.T) {
	s := newServer(t)
	s.options.CollectGrace = time.Hour
	s.start()
	build, _ := s.run(good)
	s.collect()
	s.checkContainers(build.ID)
	s.stop()

	s.options.CollectGrace, s.options.HoldFailed = 0, time.Hour
	s.start()
	held, _ := s.run(bad)
	s.collect()
	s.checkContainers(held.ID)
}

// A crowdedWorker says whether containers wait for room.
type crowdedWorker struct {
	runtime.Worker
	waits bool
}

func (w *crowdedWorker) WaitsForRoom(context.Context) (bool, error) { return w.waits, nil }

// Where others wait for room no grace is left, but to what is held or runs.
func TestCollectMakesRoom(t *testing.T) {
	s := newServer(t)
	worker := &crowdedWorker{Worker: s.options.Workers.Workers()[0]}
	s.options.Workers = newPool(t, worker)
	s.options.CollectGrace = time.Hour
	s.start()
	done, _ := s.run(good)
	running := s.create(forever("a"))
	s.awaitOutput(running.ID, "a runs")
	s.collect()
	s.checkContainers(done.ID, running.ID)
	worker.waits = true
	s.collect()
	s.checkContainers(running.ID)
	s.stop()

	s.options.HoldFailed = time.Hour
	s.start()
	held, _ := s.run(bad)
	s.collect()
	s.checkContainers(running.ID, held.ID)
}

func TestCollectRemovesWhatNoRowNames(t *testing.T) {
	s := newServer(t)
	s.start()
	worker := s.options.Workers.Workers()[0]
	_, err := worker.FindOrCreateContainer(t.Context(), runtime.ContainerSpec{Handle: "stray", Dir: "/tmp/build/1", Image: runtime.ImageSpec{Host: true}})
	if err != nil {
		t.Fatal(err)
	}
	s.collect()
	s.checkContainers()
}

func TestCollectGoesOnWhereOneHasEnded(t *testing.T) {
	for nth := range 3 {
		s := newServer(t)
		s.start()
		s.run(good)
		count := 0
		s.engine.beforeWrite = func() {
			if count++; count == nth {
				s.engine.end(errCrash)
			}
		}
		if _, err := s.engine.Collect(s.engine.hard); nth > 0 && !errors.Is(err, errCrash) {
			t.Errorf("got %v", err)
		}
		s.stop()
		s.start()
		s.collect()
		s.checkContainers()
	}
}

func TestCollectForgetsContainersOfAWorkerThatIsGone(t *testing.T) {
	s := newServer(t)
	s.start()
	s.run(good)
	s.stop()
	s.options.Workers = newPool(t, runtimetest.NewWorker(runtimetest.Config{Name: "other"}))
	s.start()
	s.collect()
	s.checkContainers()
}

// tellingWorker tells of each container that is destroyed.
type tellingWorker struct {
	runtime.Worker
	destroyed chan string
}

func (w *tellingWorker) LookupContainer(ctx context.Context, handle string) (runtime.Container, error) {
	container, err := w.Worker.LookupContainer(ctx, handle)
	return &tellingContainer{container, w.destroyed}, err
}

type tellingContainer struct {
	runtime.Container
	destroyed chan string
}

func (c *tellingContainer) Destroy(ctx context.Context) error {
	err := c.Container.Destroy(ctx)
	c.destroyed <- c.Handle()
	return err
}

// togetherWorker destroys no container before two are to be destroyed.
type togetherWorker struct {
	runtime.Worker
	arrived sync.WaitGroup
}

func (w *togetherWorker) LookupContainer(ctx context.Context, handle string) (runtime.Container, error) {
	container, err := w.Worker.LookupContainer(ctx, handle)
	return &togetherContainer{container, w}, err
}

type togetherContainer struct {
	runtime.Container
	worker *togetherWorker
}

func (c *togetherContainer) Destroy(ctx context.Context) error {
	c.worker.arrived.Done()
	c.worker.arrived.Wait()
	return c.Container.Destroy(ctx)
}

func TestCollectDestroysSomeAtOnce(t *testing.T) {
	worker := &togetherWorker{Worker: runtimetest.NewWorker(runtimetest.Config{})}
	worker.arrived.Add(2)
	s := newServer(t, worker)
	s.start()
	s.run(good)
	s.run(good)
	collected, err := s.engine.Collect(t.Context())
	if want := (Collected{Containers: 2, Due: 2, Removed: 2}); err != nil || collected != want {
		t.Errorf("it collected %+v (%v), want %+v", collected, err, want)
	}
	s.checkContainers()
}

func TestCollectLeavesToTheNextRunWhatTakesTooLong(t *testing.T) {
	s := newServer(t)
	s.start()
	build, _ := s.run(good)
	s.engine.collectTime = 0
	collected, err := s.engine.Collect(t.Context())
	if want := (Collected{Containers: 1, Due: 1}); err != nil || collected != want {
		t.Errorf("it collected %+v (%v), want %+v", collected, err, want)
	}
	s.checkContainers(build.ID)
	s.engine.collectTime = collectTime
	s.collect()
	s.checkContainers()
}

func TestCollectRunsByItself(t *testing.T) {
	worker := &tellingWorker{runtimetest.NewWorker(runtimetest.Config{}), make(chan string, 10)}
	s := newServer(t, worker)
	s.options.CollectEvery = time.Millisecond
	s.start()
	s.run(good)
	<-worker.destroyed
}
