package runtime

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// WorkerRequest says what a task needs of a worker.
type WorkerRequest struct {
	// Platform is linux, or linux/arm64 where the architecture matters.
	Platform string
	// Tags are all to be the worker's. Without any, a worker is wanted that has none
	// but optional ones.
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
		return fmt.Sprintf("no workers satisfying: %s; there are none that the team %q may use: ask who runs the server for one", asked, e.Request.Team)
	}
	return fmt.Sprintf("no workers satisfying: %s; there is %s: ask for a platform and tags that one of these has", asked, strings.Join(e.There, ", "))
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
		there = append(there, fmt.Sprintf("%s (%s)", m.name, m.info.describe(request.Platform)))
		switch {
		case !m.info.has(request.Platform) || !m.info.suits(request.Tags):
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

// describe says what a worker is, to who asks for a platform.
func (i WorkerInfo) describe(asked string) string {
	platform := i.Platform
	if i.Architecture != "" && strings.Contains(asked, "/") {
		platform += "/" + i.Architecture
	}
	return describeWorker(platform, i.AllTags())
}

// AllTags are all that a task may ask for.
func (i WorkerInfo) AllTags() []string { return slices.Concat(i.Tags, i.OptionalTags) }

// has tells whether a worker is of a platform, or may have it.
func (i WorkerInfo) has(platform string) bool {
	system, architecture, _ := strings.Cut(platform, "/")
	return i.Platform == system && (architecture == "" || i.Architecture == "" || i.Architecture == architecture)
}

// suits tells whether a worker is for who asks for these tags.
func (i WorkerInfo) suits(asked []string) bool {
	if len(asked) == 0 {
		return len(i.Tags) == 0
	}
	for _, tag := range asked {
		if !slices.Contains(i.Tags, tag) && !slices.Contains(i.OptionalTags, tag) {
			return false
		}
	}
	return true
}
