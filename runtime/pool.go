package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// The states of a worker, as WorkerInfo has them.
const (
	WorkerRunning = "running"
	WorkerLanding = "landing" // takes no more tasks, and still has some
	WorkerLanded  = "landed"  // takes no more tasks, and has none
	WorkerStalled = "stalled" // cannot be asked how it is
)

// A Pool is the workers of a server. It selects one for each task, knows which
// of them it has given to whom, and lets those wait, in the order in which they
// came, who find all busy.
type Pool struct {
	version    string
	strategies []Strategy

	mu      sync.Mutex
	members []*member
	queue   []*selection // those first who have waited longest
	held    bool         // nobody is served
}

// member is a worker of a pool. Its name and info never change; the rest is
// guarded by the pool's mutex.
type member struct {
	Worker
	name    string
	info    WorkerInfo
	claims  int // tasks that it was given to, and that have not given it back
	made    int // claims ever made
	landing bool
}

// free tells whether the member takes another task.
func (m *member) free() bool {
	return !m.landing && (m.info.MaxActiveTasks == 0 || m.claims < m.info.MaxActiveTasks)
}

func (m *member) state() string {
	switch {
	case !m.landing:
		return WorkerRunning
	case m.claims > 0:
		return WorkerLanding
	}
	return WorkerLanded
}

// PoolOptions says what a pool is made of.
type PoolOptions struct {
	// Workers have names that differ.
	Workers []Worker
	// Strategies choose among the workers that fit, the first of them first; nil
	// is DefaultStrategies.
	Strategies []Strategy
	// Version is what users know as the version of the workers.
	Version string
}

// NewPool makes a pool. It asks each worker once what it is.
func NewPool(ctx context.Context, options PoolOptions) (*Pool, error) {
	p := &Pool{version: options.Version, strategies: options.Strategies}
	if p.strategies == nil {
		p.strategies = DefaultStrategies
	}
	for _, worker := range options.Workers {
		info, err := worker.Info(ctx)
		if err != nil {
			return nil, fmt.Errorf("ask worker %q what it is: %w", worker.Name(), err)
		}
		if _, ok := p.find(worker.Name()); ok {
			return nil, fmt.Errorf("two workers are called %q", worker.Name())
		}
		p.members = append(p.members, &member{Worker: worker, name: worker.Name(), info: info})
	}
	return p, nil
}

// A Claim is a worker given to a task.
type Claim struct {
	Worker
	release func()
}

// Release gives the worker back: the task has ended. Calling it twice is no error.
func (c *Claim) Release() { c.release() }

// Select gives a worker to a task, until the claim is released. When no worker
// can ever fit it is a *NoWorkerError, at once. While all that fit are busy or
// landing it waits, and tells waiting why, and how many wait before for one of
// the same workers; again whenever that changes. Calls of waiting do not overlap.
func (p *Pool) Select(ctx context.Context, request WorkerRequest, waiting func(reason string, ahead int)) (*Claim, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	p.mu.Lock()
	fitting, err := p.fitting(request)
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	preferences, err := p.preferences(ctx, request, fitting)
	if err != nil {
		return nil, err
	}
	if request.Since.IsZero() {
		request.Since = time.Now()
	}
	s := &selection{request: request, strategies: p.strategies, preferences: preferences, changed: make(chan struct{}, 1)}
	p.mu.Lock()
	// A worker may have been pruned while others were asked.
	p.refresh(s)
	p.join(s)
	p.serve()
	p.mu.Unlock()
	if request.Placed != nil {
		request.Placed()
	}
	return p.await(ctx, s, waiting)
}

// Waiting is how many wait for a worker.
func (p *Pool) Waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue)
}

// join gives a selection its place in the queue. The pool is locked.
func (p *Pool) join(s *selection) {
	later := slices.IndexFunc(p.queue, func(other *selection) bool { return other.request.Since.After(s.request.Since) })
	if later < 0 {
		later = len(p.queue)
	}
	p.queue = slices.Insert(p.queue, later, s)
}

// Hold has nobody get a worker until the function that it gives is called: those who
// waited before a restart of the server come again in any order, and are to have their
// places before one is served.
func (p *Pool) Hold() (serve func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = true
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.held = false
		p.serve()
	}
}

// selection is a request that is in the queue.
type selection struct {
	request     WorkerRequest
	strategies  []Strategy
	preferences []preference
	changed     chan struct{} // gets a token when what is below, or how many are before, changes

	given *member // what it got
	err   error   // or why it gets none
}

// await waits until a selection has been served.
func (p *Pool) await(ctx context.Context, s *selection, waiting func(string, int)) (*Claim, error) {
	told, toldAhead := "", 0
	for {
		p.mu.Lock()
		given, err := s.given, s.err
		reason, ahead := p.describe(s)
		held := p.held
		p.mu.Unlock()
		if given != nil {
			return p.claim(given), nil
		}
		if err != nil {
			return nil, err
		}
		if !held && (reason != told || ahead != toldAhead) {
			told, toldAhead = reason, ahead
			waiting(reason, ahead)
		}
		select {
		case <-s.changed:
		case <-ctx.Done():
			p.leave(s)
			return nil, context.Cause(ctx)
		}
	}
}

// claim makes the claim of a member that was counted already.
func (p *Pool) claim(m *member) *Claim {
	return &Claim{m.Worker, sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		m.claims--
		p.serve()
	})}
}

// leave takes a selection that nobody waits for out of the queue.
func (p *Pool) leave(s *selection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.given != nil {
		s.given.claims--
	}
	p.queue = slices.DeleteFunc(p.queue, func(other *selection) bool { return other == s })
	p.serve()
}

// serve gives workers that are free to those who have waited longest. The pool is locked.
func (p *Pool) serve() {
	var left []*selection
	for _, s := range p.queue {
		if !p.held {
			s.given = s.choose()
		}
		if s.given != nil {
			s.given.claims++
			s.given.made++
		} else if s.err == nil {
			left = append(left, s)
		}
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}
	p.queue = left
}

// refresh takes members that are gone out of what a selection prefers; who
// preferred them alone gets others, or an error when none is left that fits. The
// pool is locked.
func (p *Pool) refresh(s *selection) {
	s.preferences = slices.DeleteFunc(s.preferences, func(f preference) bool { return !slices.Contains(p.members, f.member) })
	if len(s.preferences) == 0 {
		var fitting []*member
		fitting, s.err = p.fitting(s.request)
		s.preferences = unasked(fitting)
	}
}

// describe says why a selection waits, and how many before it wait for one of the
// same workers. The pool is locked.
func (p *Pool) describe(s *selection) (reason string, ahead int) {
	var states []string
	for _, preferred := range s.preferences {
		m := preferred.member
		if m.landing {
			states = append(states, fmt.Sprintf("%s is %s", m.name, m.state()))
		} else {
			states = append(states, fmt.Sprintf("%s runs %d of %d tasks", m.name, m.claims, m.info.MaxActiveTasks))
		}
	}
	slices.Sort(states)
	for _, earlier := range p.queue {
		if earlier == s {
			break
		}
		if slices.ContainsFunc(earlier.preferences, func(f preference) bool { return s.wants(f.member) }) {
			ahead++
		}
	}
	return "no worker is free: " + strings.Join(states, ", "), ahead
}

func (s *selection) wants(m *member) bool {
	return slices.ContainsFunc(s.preferences, func(f preference) bool { return f.member == m })
}

// Claim gives a worker to a task that is on it already, whether it is busy or not,
// as after a restart of the server. A name that is not there is a *NotFoundError.
func (p *Pool) Claim(name string) (*Claim, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, ok := p.find(name)
	if !ok {
		return nil, &NotFoundError{Kind: "worker", Name: name}
	}
	m.claims++
	m.made++
	return p.claim(m), nil
}

// find gives the member of that name. The pool is locked, or nobody else's yet.
func (p *Pool) find(name string) (*member, bool) {
	i := slices.IndexFunc(p.members, func(m *member) bool { return m.name == name })
	if i < 0 {
		return nil, false
	}
	return p.members[i], true
}

// Worker gives the worker of that name, landed or not.
func (p *Pool) Worker(name string) (Worker, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m, ok := p.find(name); ok {
		return m.Worker, true
	}
	return nil, false
}

// Workers gives all workers but those that were pruned, in the order in which
// they were given to the pool.
func (p *Pool) Workers() []Worker {
	p.mu.Lock()
	defer p.mu.Unlock()
	var workers []Worker
	for _, m := range p.members {
		workers = append(workers, m.Worker)
	}
	return workers
}

// Info says what the worker of that name is, how busy, and in which state it is
// in the pool. A name that is not there is a *NotFoundError. With any other error
// the worker cannot be asked, and the info is what it was when the pool was made.
func (p *Pool) Info(ctx context.Context, name string) (WorkerInfo, error) {
	p.mu.Lock()
	m, ok := p.find(name)
	p.mu.Unlock()
	if !ok {
		return WorkerInfo{}, &NotFoundError{Kind: "worker", Name: name}
	}
	info, err := m.Info(ctx)
	if err != nil {
		info = m.info
		info.State = WorkerStalled
		err = fmt.Errorf("ask worker %q how busy it is: %w", name, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.landing {
		info.State = m.state()
	}
	return info, err
}

// Land has a worker take no more tasks. Those it has go on; when they have ended
// it has landed. A name that is not there is a *NotFoundError.
func (p *Pool) Land(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, ok := p.find(name)
	if !ok {
		return &NotFoundError{Kind: "worker", Name: name}
	}
	m.landing = true
	p.serve()
	return nil
}

// Prune removes a worker that has landed; who waits for it alone is told that no
// worker fits. A name that is not there is a *NotFoundError, a worker that has not
// landed another error. What is on the worker stays.
func (p *Pool) Prune(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, ok := p.find(name)
	if !ok {
		return &NotFoundError{Kind: "worker", Name: name}
	}
	if state := m.state(); state != WorkerLanded {
		return fmt.Errorf("worker %q is %s: land it first, and wait until it has landed", name, state)
	}
	p.members = slices.DeleteFunc(p.members, func(other *member) bool { return other == m })
	for _, s := range p.queue {
		p.refresh(s)
	}
	p.serve()
	return nil
}

// LookupContainer finds a container on whichever worker has it. When none has it
// is a *NotFoundError; one that cannot be asked is another error, unless a
// container was found.
func (p *Pool) LookupContainer(ctx context.Context, handle string) (Worker, Container, error) {
	var errs []error
	for _, worker := range p.Workers() {
		container, err := worker.LookupContainer(ctx, handle)
		if err == nil {
			return worker, container, nil
		}
		var notFound *NotFoundError
		if !errors.As(err, &notFound) {
			errs = append(errs, fmt.Errorf("look for container %q on worker %q: %w", handle, worker.Name(), err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, nil, err
	}
	return nil, nil, &NotFoundError{Kind: "container", Name: handle}
}
