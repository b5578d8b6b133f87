package runc_test

import (
	"os"
	"sync"
	"testing"

	"midge/runtime"
	"midge/runtime/runc"
	"midge/runtime/runtimetest"
)

func TestConformance(t *testing.T) {
	conform(t)
}

// Where the kernel does not show files with other owners they are copied.
func TestConformanceWithCopies(t *testing.T) {
	conform(t, func(o *runc.Options) { o.CopyInputs = true })
}

func conform(t *testing.T, change ...func(*runc.Options)) {
	user := os.Getenv(ordinaryVariable)
	cgroups := user == "" || user == withCgroup
	var mu sync.Mutex
	opened := make(map[runtime.Worker]runc.Options)
	open := func(t *testing.T, options runc.Options) runtime.Worker {
		w := openWorker(t, options)
		mu.Lock()
		defer mu.Unlock()
		opened[w] = options
		return w
	}
	newOne := func(t *testing.T) runtime.Worker {
		return open(t, workerOptions(t, change...))
	}
	runtimetest.Run(t, newOne, runtimetest.Options{
		Reopen: func(t *testing.T, worker runtime.Worker) runtime.Worker {
			mu.Lock()
			options := opened[worker]
			mu.Unlock()
			return open(t, options)
		},
		Image:          runtime.ImageSpec{Host: true},
		CanLimitMemory: cgroups,
		CanLimitPids:   cgroups,
		CanLimitDisk:   true,
		CanCutOff:      true,
		CanTellChanges: true,

		CanLimitOpenFiles: true,
	})
}
