package runtime

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// WorkerRequest says what a task needs of a worker.
type WorkerRequest struct {
	Platform string
	// Tags are all to be the worker's. Without any, a worker without tags is wanted.
	Tags []string
	// Team is who asks: only it gets the workers that are its own, and gets those
	// rather than the workers of all teams.
	Team string
	// Inputs are the artifacts that the task will mount.
	Inputs []Artifact
	// Since is when the task began to wait for a worker, which an earlier server may have
	// seen: who has waited for longer goes before. Zero is now.
	Since time.Time
	// Placed, if it is not nil, is called when the task has its place in the queue.
	Placed func()
}

// NoWorkerError tells that no worker of a pool can ever fit, busy or not.
type NoWorkerError struct {
	Request WorkerRequest
	// Version is the one that the workers are known by.
	Version string
	// There says of each worker that the team may use what it is.
	There []string
}

func (e *NoWorkerError) Error() string {
	asked := describeWorker(e.Request.Platform, e.Request.Tags)
	if e.Version != "" {
		asked += fmt.Sprintf(", version: '%s'", e.Version)
	}
	if len(e.There) == 0 {
		return fmt.Sprintf("no workers satisfying: %s; there are none that the team %q may use", asked, e.Request.Team)
	}
	return fmt.Sprintf("no workers satisfying: %s; there is %s", asked, strings.Join(e.There, ", "))
}

func describeWorker(platform string, tags []string) string {
	described := fmt.Sprintf("platform '%s'", platform)
	for _, tag := range tags {
		described += fmt.Sprintf(", tag '%s'", tag)
	}
	return described
}

// fitting gives the members that can take what is asked once they are free: those
// of the team, else those of all. The pool is locked.
func (p *Pool) fitting(request WorkerRequest) ([]*member, error) {
	var own, shared []*member
	var there []string
	for _, m := range p.members {
		if m.info.Team != "" && m.info.Team != request.Team {
			continue
		}
		there = append(there, fmt.Sprintf("%s (%s)", m.name, describeWorker(m.info.Platform, m.info.Tags)))
		switch {
		case m.info.Platform != request.Platform || !suits(m.info.Tags, request.Tags):
		case m.info.Team != "":
			own = append(own, m)
		default:
			shared = append(shared, m)
		}
	}
	if len(own) > 0 {
		return own, nil
	}
	if len(shared) > 0 {
		return shared, nil
	}
	return nil, &NoWorkerError{Request: request, Version: p.version, There: there}
}

// suits tells whether a worker with tags is for who asks for these.
func suits(tags, asked []string) bool {
	if len(asked) == 0 {
		return len(tags) == 0
	}
	for _, tag := range asked {
		if !slices.Contains(tags, tag) {
			return false
		}
	}
	return true
}
