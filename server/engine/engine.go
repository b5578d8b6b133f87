// Package engine runs the builds of a server: it gives each its turn, walks its
// plan, runs its tasks in containers of the workers, and writes its events.
//
// What has happened is in the state and the event log before the next thing begins,
// and what runs, runs in workers that outlive the engine. So an engine may end at
// any instant, and the next one on the same state and workers goes on: it does not
// run a step again that has ended, follows a task that still runs from the very
// byte after the last in the log, and honours an abort that was asked for.
//
// The package knows nothing of HTTP and users; who may do what is its caller's.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"midge/api"
	"midge/runtime"
	"midge/server/eventlog"
	"midge/server/state"
	"midge/usage"
)

// ErrShutdown tells that the engine takes no more builds, because the server ends.
var ErrShutdown = errors.New("the server is shutting down: try again when it is back")

// Artifacts is where artifacts are that outlive a build. What a digest names can
// only be opened by a team that has it.
type Artifacts interface {
	// Open gives the tree of a digest.
	Open(ctx context.Context, team, digest string) (runtime.Artifact, error)
	// Ingest keeps a copy of a tree and gives its digest, how many files it has
	// and how many bytes those are.
	Ingest(ctx context.Context, team string, artifact runtime.Artifact) (digest string, files, bytes int64, err error)
}

// Options says what an engine works with. The first four are needed.
type Options struct {
	State     *state.Database
	Logs      *eventlog.Store
	Workers   *runtime.Pool
	Artifacts Artifacts

	// ExternalURL is the server's own, for tasks that want to name it.
	ExternalURL string
	// MaxActiveBuilds is how many builds run at once; the others wait. 0: no bound.
	MaxActiveBuilds int
	// AllowPrivileged lets tasks run that ask to be privileged.
	AllowPrivileged bool
	// DefaultLimits are for tasks that have none, MaxLimits the highest a task may
	// ask for; a field that is 0 is none.
	DefaultLimits, MaxLimits runtime.Limits
	// StopGrace is how long an aborted task has between SIGTERM and SIGKILL.
	StopGrace time.Duration
	// CollectEvery is how often what is no longer needed is removed from workers,
	// a container CollectGrace after its build has finished.
	CollectEvery, CollectGrace time.Duration
	// KeepUnused is how long workers keep what nobody uses, as images.
	KeepUnused time.Duration
	// HoldFailed is how long the container of a task that did not succeed is held,
	// unless its plan says otherwise.
	HoldFailed time.Duration
	// MaxHeld is how many containers of a team are held at once; 0: no bound. InUse
	// tells whether somebody is in a container, which then stays; nil if nobody is ever.
	MaxHeld int
	InUse   func(handle string) bool
	// Finished is told of each build that has finished, Collected of each run of Collect
	// by the engine itself, and WriteFailed of an end of a build that could not be
	// written, which is tried again; nil if nobody is to be. They must not wait.
	Finished    func(build api.Build)
	Collected   func(began time.Time, collected Collected, err error)
	WriteFailed func(err error)
	// Operated is told of each thing that a worker was to do with a container, how long that
	// took and what came of it; nil if nobody is to be. It must not wait.
	Operated func(worker string, operation Operation, took time.Duration, err error)
	// System is the machine of the workers, which is sampled while builds run; nil is not.
	System *usage.System
	// Logger is for what no build's log can say; nil discards it.
	Logger *slog.Logger
}

// Engine runs builds from Start to Shutdown. Its methods may be called from many goroutines.
type Engine struct {
	options Options
	turns   turns
	copies  *copies
	places  *places // nil when there are none

	// hard ends with the engine. Nothing is written to the state or a log after it.
	hard context.Context
	end  context.CancelCauseFunc
	work sync.WaitGroup

	// creating is held for reading while a build is in the state and not yet in builds.
	creating sync.RWMutex

	mu     sync.Mutex
	closed bool
	builds map[int]*build // those that are not finished

	// rows serialises changes of a container's row, which are made by reading it first.
	rows sync.Mutex

	// collectTime is the constant of that name, but for tests.
	collectTime time.Duration

	// beforeWrite is called before each write to the state or a log. Tests end the
	// engine there.
	beforeWrite func()
}

// New makes an engine that does nothing until Start.
func New(options Options) *Engine {
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if options.InUse == nil {
		options.InUse = func(string) bool { return false }
	}
	if options.Finished == nil {
		options.Finished = func(api.Build) {}
	}
	if options.Collected == nil {
		options.Collected = func(time.Time, Collected, error) {}
	}
	if options.WriteFailed == nil {
		options.WriteFailed = func(error) {}
	}
	if options.Operated == nil {
		options.Operated = func(string, Operation, time.Duration, error) {}
	}
	e := &Engine{
		options:     options,
		turns:       turns{limit: options.MaxActiveBuilds},
		copies:      newCopies(),
		builds:      make(map[int]*build),
		collectTime: collectTime,
		beforeWrite: func() {},
	}
	e.hard, e.end = context.WithCancelCause(context.Background())
	return e
}

// Start takes up the builds that are not finished, and begins to remove what is no
// longer needed. It is called once, before any other method.
func (e *Engine) Start(ctx context.Context) error {
	records, err := e.options.State.UnfinishedBuilds(ctx)
	if err != nil {
		return fmt.Errorf("take up unfinished builds: %w", err)
	}
	claims := make(map[int]map[string]*runtime.Claim)
	for _, record := range records {
		if claims[record.ID], err = e.claimAgain(ctx, record.ID); err != nil {
			return fmt.Errorf("take up unfinished builds: %w", err)
		}
	}
	if err := e.holdPlaces(ctx, records); err != nil {
		return fmt.Errorf("take up unfinished builds: %w", err)
	}
	// Those that had their turn keep it, whatever the bound is now.
	for _, record := range records {
		if record.Status == api.StatusStarted {
			e.resume(record, e.turns.take(), claims[record.ID])
		}
	}
	for _, record := range records {
		if record.Status == api.StatusPending {
			e.resume(record, e.turns.join(), claims[record.ID])
		}
	}
	e.work.Go(e.collectUntilEnd)
	return nil
}

// Create makes a build, whose plan must be valid, and gives it as it is once it
// was started or has its place in the queue.
func (e *Engine) Create(ctx context.Context, build state.NewBuild) (api.Build, error) {
	if e.hard.Err() != nil {
		return api.Build{}, ErrShutdown
	}
	turn := e.turns.join()
	if come, _, _ := turn.ahead(); come {
		build.StartedAt = time.Now()
	}
	b, record, err := e.create(ctx, build, turn)
	if b == nil {
		turn.leave()
		return record.Build, err
	}
	select {
	case <-b.settled:
		return b.current(), nil
	case <-e.hard.Done():
		// The next engine takes it up.
		return record.Build, nil
	}
}

// create puts a build into the state and begins to run it. It gives none for one that was
// there already.
func (e *Engine) create(ctx context.Context, asked state.NewBuild, turn *turn) (*build, state.BuildRecord, error) {
	e.creating.RLock()
	defer e.creating.RUnlock()
	// A client that goes away must not leave open whether there is a build to run.
	record, created, err := e.options.State.CreateBuild(context.WithoutCancel(ctx), asked)
	if err != nil || !created {
		return nil, record, err
	}
	b := newBuild(e, record)
	e.add(b, turn)
	return b, record, nil
}

// Abort asks for a build to be aborted. Its steps are interrupted, hooks that are to
// run after an abort run. Asked again, it interrupts those too; the same request that
// comes again does not. Of a build that is finished it reports false.
func (e *Engine) Abort(ctx context.Context, id int, abort state.Abort) (bool, error) {
	interrupted, err := e.options.State.RequestAbort(context.WithoutCancel(ctx), id, abort)
	if err != nil || interrupted == state.NotInterrupted {
		return false, err
	}
	if b := e.unfinished(id); b != nil {
		b.interrupt(interrupted)
	}
	return true, nil
}

// unfinished gives the build that runs or waits of that number, if there is one.
func (e *Engine) unfinished(id int) *build {
	// Once nobody is creating any more, one that is in the state is among the builds.
	e.creating.Lock()
	defer e.creating.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.builds[id]
}

// Shutdown ends the engine: it takes no more builds and leaves those that run to
// the next one, their processes running. It returns when nothing of it is left, or
// with an error when ctx ends first.
func (e *Engine) Shutdown(ctx context.Context) error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.end(ErrShutdown)
	gone := make(chan struct{})
	go func() {
		e.work.Wait()
		e.copies.streamer.Wait()
		close(gone)
	}()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("shut the build engine down: %w", ctx.Err())
	}
}

// resume goes on with a build of an earlier engine.
func (e *Engine) resume(record state.BuildRecord, turn *turn, claims map[string]*runtime.Claim) {
	b := newBuild(e, record)
	b.resumed, b.claims = true, claims
	e.add(b, turn)
}

// add begins to run a build. On an engine that has ended it does nothing: the next
// one finds the build in the state.
func (e *Engine) add(b *build, turn *turn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	e.builds[b.record.ID] = b
	e.work.Go(func() {
		b.live(turn)
		e.places.ended(b.record.ID)
		turn.leave()
		e.mu.Lock()
		delete(e.builds, b.record.ID)
		e.mu.Unlock()
		close(b.gone)
	})
}

// write runs a write to the state or a log, unless the engine has ended.
func (e *Engine) write(do func() error) error {
	e.beforeWrite()
	if err := context.Cause(e.hard); err != nil {
		return err
	}
	return do()
}
