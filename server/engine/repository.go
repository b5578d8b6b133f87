package engine

import (
	"maps"
	"slices"
	"sync"

	"midge/runtime"
)

// repository has the artifacts that the steps of a build have for each other, by name.
type repository struct {
	mu        sync.Mutex
	artifacts map[string]runtime.Artifact
}

// add makes an artifact known, in place of an earlier one of that name.
func (r *repository) add(name string, artifact runtime.Artifact) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.artifacts == nil {
		r.artifacts = make(map[string]runtime.Artifact)
	}
	r.artifacts[name] = artifact
}

func (r *repository) find(name string) (runtime.Artifact, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	artifact, ok := r.artifacts[name]
	return artifact, ok
}

// handles gives the handles of all, in no order.
func (r *repository) handles() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var handles []string
	for _, artifact := range r.artifacts {
		handles = append(handles, artifact.Handle())
	}
	return handles
}

// names gives the names of all, sorted.
func (r *repository) names() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.artifacts))
}
