//go:build cluster

package kubernetes_test

import (
	"sync"
	"testing"

	"midge/runtime"
	"midge/runtime/kubernetes"
	"midge/runtime/runtimetest"
)

func TestConformance(t *testing.T) {
	var mu sync.Mutex
	byWorker := make(map[runtime.Worker]kubernetes.Options)
	runtimetest.Run(t, func(t *testing.T) runtime.Worker {
		options := newOptions(t)
		worker := newWorker(t, options)
		mu.Lock()
		defer mu.Unlock()
		byWorker[worker] = options
		return worker
	}, runtimetest.Options{
		Image:          busybox,
		Env:            []string{"PATH=/bin:/usr/bin"},
		CanLimitMemory: true,
		Reopen: func(t *testing.T, worker runtime.Worker) runtime.Worker {
			mu.Lock()
			options := byWorker[worker]
			mu.Unlock()
			next := newWorker(t, options)
			mu.Lock()
			defer mu.Unlock()
			byWorker[next] = options
			return next
		},
	})
}
