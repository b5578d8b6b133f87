package agent

import (
	"context"
	"errors"
	"log/slog"

	"midge/api"
	"midge/usage"
)

// sampling is the taking of samples of what the container uses. It begins behind the
// back of the process that it is about, which does not wait for it.
type sampling struct {
	begun chan struct{} // closed once watch or err is there
	watch *usage.Watch
	err   error
}

// startSampling begins to sample the cgroup and the network that the process with that
// number is in. finish must be called. A container without a cgroup of its own is not
// sampled: it would have what others use on its account.
func startSampling(pid int, ownCgroup bool) *sampling {
	s := &sampling{begun: make(chan struct{})}
	if !ownCgroup {
		s.err = errors.New("containers of an ordinary user's server have no cgroup")
		close(s.begun)
		return s
	}
	go func() {
		defer close(s.begun)
		location, err := usage.Locate(pid)
		if err == nil {
			// finish ends it, so its own context need not.
			s.watch, err = usage.StartWatch(context.Background(), location, usage.OpenSystem(), false)
		}
		s.err = err
	}()
	return s
}

// finish takes the last sample and gives all of them. What cannot be had is missing,
// and the reason in its place.
func (s *sampling) finish() api.ResourceUsage {
	<-s.begun
	if s.err != nil {
		return api.ResourceUsage{Missing: map[string]string{"": s.err.Error()}}
	}
	used, err := s.watch.Finish(context.Background())
	if err != nil {
		slog.Error("not all of what the container used is known", "error", err)
	}
	return used
}
