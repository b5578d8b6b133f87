package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
)

// A Strategy prefers some of the workers that fit to others. They are chained: a
// strategy chooses among those between which the ones before saw no difference.
// Whatever the strategies, a worker has no more tasks than it takes.
type Strategy string

const (
	// VolumeLocality prefers the worker that has most of the task's inputs.
	VolumeLocality Strategy = "volume-locality"
	// FewestBuildContainers prefers the worker with the fewest containers.
	FewestBuildContainers Strategy = "fewest-build-containers"
	// LimitActiveTasks prefers the worker with the fewest tasks.
	LimitActiveTasks Strategy = "limit-active-tasks"
	// Random prefers any.
	Random Strategy = "random"
)

// Strategies are all there are.
var Strategies = []Strategy{VolumeLocality, FewestBuildContainers, LimitActiveTasks, Random}

// DefaultStrategies spread the tasks, but keep them where their inputs are.
var DefaultStrategies = []Strategy{VolumeLocality, LimitActiveTasks, FewestBuildContainers}

// ParseStrategies reads names of strategies, as settings have them.
func ParseStrategies(names []string) ([]Strategy, error) {
	var strategies []Strategy
	for _, name := range names {
		if !slices.Contains(Strategies, Strategy(name)) {
			return nil, fmt.Errorf("no placement strategy is called %q; there are %q", name, Strategies)
		}
		strategies = append(strategies, Strategy(name))
	}
	return strategies, nil
}

// preference is a member that fits, and what its strategies look at: less is
// better. What changes with every claim is counted at the time of choosing.
type preference struct {
	member     *member
	lacking    int // inputs that are not on it
	containers int // on it, when asked
	made       int // claims ever made, when asked
	chance     int
}

// preferences asks the members what the strategies want to know of them. The pool
// is not locked, since asking may take long.
func (p *Pool) preferences(ctx context.Context, request WorkerRequest, fitting []*member) ([]preference, error) {
	made := unasked(fitting)
	if len(fitting) == 1 {
		// Nothing that could be asked makes a difference.
		return made, nil
	}
	for i := range made {
		if err := p.ask(ctx, request, &made[i]); err != nil {
			return nil, fmt.Errorf("ask worker %q what it has: %w", made[i].member.name, err)
		}
	}
	return made, nil
}

// unasked gives preferences among members of which nothing is known.
func unasked(fitting []*member) []preference {
	made := make([]preference, len(fitting))
	for i, m := range fitting {
		made[i].member = m
	}
	return made
}

func (p *Pool) ask(ctx context.Context, request WorkerRequest, asked *preference) (err error) {
	asked.chance = rand.Int()
	if slices.Contains(p.strategies, VolumeLocality) {
		if asked.lacking, err = lacking(ctx, asked.member, request.Inputs); err != nil {
			return err
		}
	}
	if !slices.Contains(p.strategies, FewestBuildContainers) {
		return nil
	}
	p.mu.Lock()
	asked.made = asked.member.made
	p.mu.Unlock()
	info, err := asked.member.Info(ctx)
	asked.containers = info.Containers
	return err
}

// lacking counts the artifacts that a worker has neither made nor a copy of.
func lacking(ctx context.Context, worker Worker, artifacts []Artifact) (int, error) {
	count := 0
	for _, artifact := range artifacts {
		_, err := locate(ctx, worker, artifact.Handle())
		var notFound *NotFoundError
		switch {
		case errors.As(err, &notFound):
			count++
		case err != nil:
			return 0, err
		}
	}
	return count, nil
}

// choose gives the best of the members that are free, nil when none is. The pool is locked.
func (s *selection) choose() *member {
	var best *preference
	for i := range s.preferences {
		candidate := &s.preferences[i]
		if candidate.member.free() && (best == nil || s.compare(candidate, best) < 0) {
			best = candidate
		}
	}
	if best == nil {
		return nil
	}
	return best.member
}

func (s *selection) compare(a, b *preference) int {
	for _, strategy := range s.strategies {
		if order := cmp.Compare(strategy.rank(a), strategy.rank(b)); order != 0 {
			return order
		}
	}
	return 0
}

// rank gives how a strategy sees a member: less is better.
func (s Strategy) rank(p *preference) int {
	switch s {
	case VolumeLocality:
		return p.lacking
	case FewestBuildContainers:
		// Those made since it was asked have a container now, or will have one.
		return p.containers + p.member.made - p.made
	case LimitActiveTasks:
		return p.member.claims
	}
	return p.chance
}
