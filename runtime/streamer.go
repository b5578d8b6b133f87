package runtime

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"

	"midge/trace"
)

// A P2PSource is an artifact whose worker sends streams straight to other workers.
type P2PSource interface {
	Artifact

	// StreamP2P sends the tree at path to an address that a P2PDestination gave,
	// and returns when it has been unpacked there.
	StreamP2P(ctx context.Context, path, address string) error
}

// A P2PDestination is a volume whose worker takes streams straight from other workers.
type P2PDestination interface {
	Volume

	// P2PAddress gives an address that takes one stream, to be unpacked at path.
	// It is of no use once ctx has ended.
	P2PAddress(ctx context.Context, path string) (address string, err error)
}

// A Taker is a Worker that takes some artifacts as they are, wherever they lie.
type Taker interface {
	Worker

	// Takes tells whether it takes that artifact.
	Takes(artifact Artifact) bool
}

// A Streamer makes artifacts available on workers. What it copied to a worker it
// finds there again, also after a restart of the server, by a handle that follows
// from the artifact's: an artifact's content must never change.
type Streamer struct {
	flying sync.WaitGroup

	mu      sync.Mutex
	flights map[flightKey]*flight
	remote  map[string]bool // what is known of workers, by name
}

// NewStreamer makes a streamer. A server has one: two would copy twice.
func NewStreamer() *Streamer {
	return &Streamer{flights: map[flightKey]*flight{}, remote: map[string]bool{}}
}

// On makes an artifact available on a worker, and gives what to mount there: the
// artifact itself when it is the worker's own, lies in a directory of this machine
// that the worker sees, or is one that it takes as it is; else a copy, made by the first who asks, straight
// from worker to worker where both offer it, else through this program. Collect
// leaves the copy alone until release is called, which is due once it is mounted.
func (s *Streamer) On(ctx context.Context, worker Worker, artifact Artifact) (_ Artifact, release func(), err error) {
	mountable, err := s.mounts(ctx, worker, artifact)
	if err != nil {
		return nil, nil, fmt.Errorf("look for artifact %q on worker %q: %w", artifact.Handle(), worker.Name(), err)
	}
	if mountable {
		return artifact, func() {}, nil
	}
	copied, release, err := s.join(ctx, worker, artifact)
	if err != nil {
		return nil, nil, fmt.Errorf("copy artifact %q to worker %q: %w", artifact.Handle(), worker.Name(), err)
	}
	return copied, release, nil
}

// Wait waits until nothing is being copied. A copy comes to an early end when all
// who wanted it have gone. Nobody calls On any more.
func (s *Streamer) Wait() { s.flying.Wait() }

// mounts tells whether a worker mounts the artifact as it is.
func (s *Streamer) mounts(ctx context.Context, worker Worker, artifact Artifact) (bool, error) {
	if taker, ok := worker.(Taker); ok && taker.Takes(artifact) {
		return true, nil
	}
	if _, ok := artifact.(Local); ok {
		remote, err := s.isRemote(ctx, worker)
		if err != nil || !remote {
			return err == nil, err
		}
	}
	return has(ctx, worker, artifact.Handle())
}

// isRemote tells whether a worker does not see the directories of this machine.
// That never changes, and to ask it costs what its whole info does.
func (s *Streamer) isRemote(ctx context.Context, worker Worker) (bool, error) {
	s.mu.Lock()
	remote, known := s.remote[worker.Name()]
	s.mu.Unlock()
	if known {
		return remote, nil
	}
	info, err := worker.Info(ctx)
	if err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remote[worker.Name()] = info.Remote
	return info.Remote, nil
}

func has(ctx context.Context, worker Worker, volume string) (bool, error) {
	_, err := worker.LookupVolume(ctx, volume)
	var notFound *NotFoundError
	if errors.As(err, &notFound) {
		return false, nil
	}
	return err == nil, err
}

// The copy of an artifact is a volume, and a second one, empty, that is there only
// while the copy is whole.
const (
	copyPrefix  = "copy-"
	wholePrefix = "whole-"
)

// CopyHandle gives the handle of the volume that is an artifact's copy.
func CopyHandle(artifact string) string { return copyPrefix + copyName(artifact) }

func copyName(artifact string) string {
	sum := sha256.Sum256([]byte(artifact))
	return hex.EncodeToString(sum[:16])
}

// locate gives the artifact of a handle on a worker: the volume of that handle, or
// a whole copy, else a *NotFoundError.
func locate(ctx context.Context, worker Worker, handle string) (Volume, error) {
	volume, err := worker.LookupVolume(ctx, handle)
	var notFound *NotFoundError
	if !errors.As(err, &notFound) {
		return volume, err
	}
	if _, err := worker.LookupVolume(ctx, wholePrefix+copyName(handle)); err != nil {
		return nil, err
	}
	return worker.LookupVolume(ctx, CopyHandle(handle))
}

// flightKey names a copy on a worker.
type flightKey struct{ worker, name string }

// flight is a copy on its way, and then there, as long as anybody holds it. One
// that nobody holds any more comes to an end: no new ones join it.
type flight struct {
	holders int // guarded by the streamer's mutex
	cancel  context.CancelFunc
	landed  chan struct{}
	volume  Volume // once landed is closed
	err     error
}

func (f *flight) hasLanded() bool {
	select {
	case <-f.landed:
		return true
	default:
		return false
	}
}

// join waits for the copy of an artifact, which the first who comes has made.
func (s *Streamer) join(ctx context.Context, worker Worker, artifact Artifact) (Volume, func(), error) {
	key := flightKey{worker.Name(), copyName(artifact.Handle())}
	f, err := s.hold(ctx, key, worker, artifact)
	if err != nil {
		return nil, nil, err
	}
	release := sync.OnceFunc(func() { s.release(key, f) })
	select {
	case <-f.landed:
		err = f.err
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		release()
		return nil, nil, err
	}
	return f.volume, release, nil
}

// hold gives the flight of a copy, and begins it when there is none.
func (s *Streamer) hold(ctx context.Context, key flightKey, worker Worker, artifact Artifact) (*flight, error) {
	for {
		s.mu.Lock()
		f, ok := s.flights[key]
		if !ok {
			// It outlives the first who holds it, but keeps what is in its context.
			flying, cancel := context.WithCancel(context.WithoutCancel(ctx))
			f = &flight{holders: 1, cancel: cancel, landed: make(chan struct{})}
			s.flights[key] = f
			s.flying.Go(func() {
				s.fly(key, f, func() (Volume, error) { return findOrCopy(flying, worker, artifact) })
			})
		} else if f.holders > 0 {
			f.holders++
		}
		ending := f.holders == 0
		s.mu.Unlock()
		if !ending {
			return f, nil
		}
		select {
		case <-f.landed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (s *Streamer) release(key flightKey, f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.holders--; f.holders > 0 {
		return
	}
	f.cancel()
	if f.hasLanded() && s.flights[key] == f {
		delete(s.flights, key)
	}
}

// fly makes a copy, or whatever else nobody may come between.
func (s *Streamer) fly(key flightKey, f *flight, do func() (Volume, error)) {
	f.volume, f.err = do()
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.err != nil || f.holders == 0 {
		// The next who asks tries anew.
		delete(s.flights, key)
	}
	close(f.landed)
}

func findOrCopy(ctx context.Context, worker Worker, artifact Artifact) (volume Volume, err error) {
	volume, err = locate(ctx, worker, artifact.Handle())
	var notFound *NotFoundError
	if !errors.As(err, &notFound) {
		return volume, err
	}
	ctx, span := trace.StartSpan(ctx, "stream artifact",
		trace.Digest(artifact.Handle()), trace.Worker(worker.Name()))
	defer func() { span.End(err) }()
	volume, err = makeCopy(ctx, worker, artifact, sendP2P)
	if errors.Is(err, errNoP2P) && ctx.Err() == nil {
		// What workers cannot do among themselves may be possible from here.
		span.Set(trace.Reason(err.Error()))
		volume, err = makeCopy(ctx, worker, artifact, send)
	}
	return volume, err
}

// makeCopy makes the volume of an artifact's copy and fills it. A crash at any
// point leaves nothing that passes for a whole copy.
func makeCopy(ctx context.Context, worker Worker, artifact Artifact, fill func(context.Context, Artifact, Volume) error) (Volume, error) {
	name := copyName(artifact.Handle())
	if err := destroyCopy(ctx, worker, name); err != nil {
		return nil, fmt.Errorf("remove what is left of an earlier copy: %w", err)
	}
	volume, err := worker.CreateVolume(ctx, copyPrefix+name)
	if err != nil {
		return nil, err
	}
	if err = fill(ctx, artifact, volume); err == nil {
		_, err = worker.CreateVolume(ctx, wholePrefix+name)
	}
	if err != nil {
		// ctx may be why it failed.
		return nil, errors.Join(err, volume.Destroy(context.WithoutCancel(ctx)))
	}
	return volume, nil
}

// send streams an artifact to a volume through this program.
func send(ctx context.Context, artifact Artifact, volume Volume) error {
	stream, err := artifact.StreamOut(ctx, ".")
	if err != nil {
		return err
	}
	return errors.Join(volume.StreamIn(ctx, ".", stream), stream.Close())
}

// errNoP2P marks that a stream could not go from worker to worker.
var errNoP2P = errors.New("it cannot go straight from worker to worker")

// sendP2P streams an artifact to a volume from worker to worker, where both offer
// that, else through this program.
func sendP2P(ctx context.Context, artifact Artifact, volume Volume) error {
	source, sends := artifact.(P2PSource)
	destination, takes := volume.(P2PDestination)
	if !sends || !takes {
		return send(ctx, artifact, volume)
	}
	address, err := destination.P2PAddress(ctx, ".")
	if err == nil {
		err = source.StreamP2P(ctx, ".", address)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errNoP2P, err)
	}
	return nil
}

// destroyCopy destroys a copy, and first what says that it is whole.
func destroyCopy(ctx context.Context, worker Worker, name string) error {
	for _, handle := range []string{wholePrefix + name, copyPrefix + name} {
		if err := destroyVolume(ctx, worker, handle); err != nil {
			return err
		}
	}
	return nil
}

func destroyVolume(ctx context.Context, worker Worker, handle string) error {
	volume, err := worker.LookupVolume(ctx, handle)
	var notFound *NotFoundError
	if errors.As(err, &notFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return volume.Destroy(ctx)
}

// Collect destroys the copies on a worker, but those of the artifacts in use, by
// their handles, and those that somebody holds. It gives how many it destroyed.
func (s *Streamer) Collect(ctx context.Context, worker Worker, used []string) (int, error) {
	volumes, err := worker.Volumes(ctx)
	if err != nil {
		return 0, err
	}
	names := map[string]bool{}
	for _, volume := range volumes {
		for _, prefix := range []string{wholePrefix, copyPrefix} {
			if name, ok := strings.CutPrefix(volume.Handle, prefix); ok {
				names[name] = true
			}
		}
	}
	for _, handle := range used {
		delete(names, copyName(handle))
	}
	destroyed := 0
	for name := range names {
		done, err := s.remove(ctx, worker, name)
		if err != nil {
			return destroyed, fmt.Errorf("destroy copy %q on worker %q: %w", name, worker.Name(), err)
		}
		if done {
			destroyed++
		}
	}
	return destroyed, nil
}

// remove destroys a copy, unless somebody holds it. Who asks for it meanwhile waits.
func (s *Streamer) remove(ctx context.Context, worker Worker, name string) (bool, error) {
	key := flightKey{worker.Name(), name}
	s.mu.Lock()
	if _, ok := s.flights[key]; ok {
		s.mu.Unlock()
		return false, nil
	}
	f := &flight{landed: make(chan struct{})}
	s.flights[key] = f
	s.mu.Unlock()
	s.fly(key, f, func() (Volume, error) { return nil, destroyCopy(ctx, worker, name) })
	return f.err == nil, f.err
}
