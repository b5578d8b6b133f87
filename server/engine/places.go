package engine

import (
	"context"
	"sync"

	"midge/api"
	"midge/server/state"
)

// places are the places in the queue for workers of the steps that an earlier engine has
// left waiting there. Until all of them have theirs again nobody gets a worker, so that
// nobody goes before who came after.
type places struct {
	serve func() // lets workers be given again

	mu      sync.Mutex
	missing map[place]struct{}
}

type place struct {
	build int
	plan  string
}

// holdPlaces has nobody get a worker until those steps of unfinished builds have their
// places that waited for one.
func (e *Engine) holdPlaces(ctx context.Context, records []state.BuildRecord) error {
	missing := make(map[place]struct{})
	for _, record := range records {
		steps, err := e.options.State.Steps(ctx, record.ID)
		if err != nil {
			return err
		}
		waits := make(map[string]bool)
		for _, step := range steps {
			waits[step.PlanID] = step.State == state.StepStarted && step.Worker == ""
		}
		for plan := range record.Plan.All() {
			if plan.Kind() == api.PlanTask && waits[plan.ID] {
				missing[place{record.ID, plan.ID}] = struct{}{}
			}
		}
	}
	if len(missing) > 0 {
		e.places = &places{serve: e.options.Workers.Hold(), missing: missing}
	}
	return nil
}

// found notes that the step of a place has it again, or needs it no more.
func (p *places) found(build int, plan string) {
	p.strike(func(one place) bool { return one == place{build, plan} })
}

// ended notes that a build needs no places.
func (p *places) ended(build int) {
	p.strike(func(one place) bool { return one.build == build })
}

func (p *places) strike(done func(place) bool) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.missing) == 0 {
		return
	}
	for one := range p.missing {
		if done(one) {
			delete(p.missing, one)
		}
	}
	if len(p.missing) == 0 {
		p.serve()
	}
}
