package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"midge/runtime"
	"midge/server/engine"
	"midge/server/state"
)

// pool selects a worker for each container: the one with the fewest tasks of those
// that fit. Those who find them all busy get one in the order in which they came.
type pool struct {
	workers []runtime.Worker
	infos   map[string]runtime.WorkerInfo // what never changes of each, by name

	mu      sync.Mutex
	landing map[string]bool // workers that take no more containers, by name
	pruned  map[string]bool // those that are no longer shown either
	queue   []*poolRequest  // who waits
}

// poolRequest is one who waits for one of these workers.
type poolRequest struct{ fitting []runtime.Worker }

// poolInterval is how often one who waits looks whether a worker has become free:
// workers do not tell.
const poolInterval = 200 * time.Millisecond

func newPool(ctx context.Context, workers []runtime.Worker) (*pool, error) {
	p := &pool{
		workers: workers,
		infos:   map[string]runtime.WorkerInfo{},
		landing: map[string]bool{},
		pruned:  map[string]bool{},
	}
	for _, worker := range workers {
		info, err := worker.Info(ctx)
		if err != nil {
			return nil, fmt.Errorf("ask worker %s what it is: %w", worker.Name(), err)
		}
		p.infos[worker.Name()] = info
	}
	return p, nil
}

// Workers gives all workers.
func (p *pool) Workers() []runtime.Worker { return p.workers }

// Worker gives the worker of that name.
func (p *pool) Worker(name string) (runtime.Worker, bool) {
	for _, worker := range p.workers {
		if worker.Name() == name {
			return worker, true
		}
	}
	return nil, false
}

// Select gives a worker, or an error when none can ever fit. While all that fit are
// busy it waits, and tells waiting why and how many wait before.
func (p *pool) Select(ctx context.Context, request engine.WorkerRequest, waiting func(reason string, ahead int)) (runtime.Worker, error) {
	fitting, err := p.fitting(request)
	if err != nil {
		return nil, err
	}
	self := &poolRequest{fitting}
	p.mu.Lock()
	p.queue = append(p.queue, self)
	p.mu.Unlock()
	defer p.leave(self)
	for said := -1; ; {
		free, ahead := p.available(self)
		worker, err := p.leastBusy(ctx, free)
		if worker != nil || err != nil {
			return worker, err
		}
		if ahead != said {
			said = ahead
			waiting("all workers that fit are busy or landing", ahead)
		}
		select {
		case <-time.After(poolInterval):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// fitting gives the workers that can take what is asked once they are free.
func (p *pool) fitting(request engine.WorkerRequest) ([]runtime.Worker, error) {
	var fitting []runtime.Worker
	var there []string
	for _, worker := range p.workers {
		info := p.infos[worker.Name()]
		if fits(info, request) {
			fitting = append(fitting, worker)
		}
		if info.Team == "" || info.Team == request.Team {
			there = append(there, describe(worker.Name(), info.Platform, info.Tags))
		}
	}
	if len(fitting) == 0 {
		asked := describe("", request.Platform, request.Tags)
		if len(there) == 0 {
			return nil, fmt.Errorf("no workers satisfying: %s; the team %s has none", asked, request.Team)
		}
		return nil, fmt.Errorf("no workers satisfying: %s; there is %s", asked, strings.Join(there, ", "))
	}
	return fitting, nil
}

// fits tells whether a worker can take what is asked. One that has tags is for those
// who ask for them.
func fits(info runtime.WorkerInfo, request engine.WorkerRequest) bool {
	if info.Platform != request.Platform || info.Team != "" && info.Team != request.Team {
		return false
	}
	if len(request.Tags) == 0 {
		return len(info.Tags) == 0
	}
	for _, tag := range request.Tags {
		if !slices.Contains(info.Tags, tag) {
			return false
		}
	}
	return true
}

// describe says in words what a worker is or should be.
func describe(name, platform string, tags []string) string {
	text := "platform '" + platform + "'"
	if len(tags) > 0 {
		text += ", tags '" + strings.Join(tags, "', '") + "'"
	}
	if name != "" {
		return name + " (" + text + ")"
	}
	return text
}

// available gives the workers that self may take now, and how many wait for the same
// before it.
func (p *pool) available(self *poolRequest) (free []runtime.Worker, ahead int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	free = slices.DeleteFunc(slices.Clone(self.fitting), func(worker runtime.Worker) bool { return p.landing[worker.Name()] })
	for _, earlier := range p.queue[:slices.Index(p.queue, self)] {
		wanted := func(worker runtime.Worker) bool { return slices.Contains(earlier.fitting, worker) }
		if slices.ContainsFunc(self.fitting, wanted) {
			ahead++
		}
		free = slices.DeleteFunc(free, wanted)
	}
	return free, ahead
}

func (p *pool) leave(self *poolRequest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = slices.DeleteFunc(p.queue, func(other *poolRequest) bool { return other == self })
}

// leastBusy gives the worker with the fewest tasks of those that can take another,
// or nil when none can.
func (p *pool) leastBusy(ctx context.Context, workers []runtime.Worker) (runtime.Worker, error) {
	if len(workers) == 1 && p.infos[workers[0].Name()].MaxActiveTasks == 0 {
		// To count its tasks would cost something and change nothing.
		return workers[0], nil
	}
	var best runtime.Worker
	fewest := 0
	for _, worker := range workers {
		info, err := worker.Info(ctx)
		if err != nil {
			return nil, fmt.Errorf("ask worker %s how busy it is: %w", worker.Name(), err)
		}
		if info.State != "running" || info.MaxActiveTasks > 0 && info.ActiveTasks >= info.MaxActiveTasks {
			continue
		}
		if best == nil || info.ActiveTasks < fewest {
			best, fewest = worker, info.ActiveTasks
		}
	}
	return best, nil
}

// land has a worker take no more containers, until the server starts anew.
func (p *pool) land(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.landing[name] = true
}

// prune has a worker that has landed no longer shown, and reports whether it has.
func (p *pool) prune(name string, info runtime.WorkerInfo) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.landing[name] || info.ActiveTasks > 0 {
		return false
	}
	p.pruned[name] = true
	return true
}

// state gives the state of a worker, "" when it is not to be shown. One that lands
// has landed once nothing runs on it.
func (p *pool) state(name string, info runtime.WorkerInfo) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.pruned[name]:
		return ""
	case !p.landing[name]:
		return info.State
	case info.ActiveTasks > 0:
		return "landing"
	}
	return "landed"
}

// container gives the container of a row, or a *runtime.NotFoundError.
func (p *pool) container(ctx context.Context, row state.Container) (runtime.Container, error) {
	worker, ok := p.Worker(row.Worker)
	if !ok {
		return nil, &runtime.NotFoundError{Kind: "container", Name: row.Handle}
	}
	return worker.LookupContainer(ctx, row.Handle)
}

// destroyContainers destroys all containers of all workers.
func (p *pool) destroyContainers(ctx context.Context) error {
	var errs []error
	for _, worker := range p.workers {
		handles, err := worker.Containers(ctx)
		errs = append(errs, err)
		for _, handle := range handles {
			container, err := worker.LookupContainer(ctx, handle)
			if missing := (*runtime.NotFoundError)(nil); errors.As(err, &missing) {
				continue
			}
			if err == nil {
				err = container.Destroy(ctx)
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
