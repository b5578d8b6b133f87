package runc_test

import (
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
	runtimetest.Run(t, func(t *testing.T) runtime.Worker { return newWorker(t, change...) }, runtimetest.Options{
		Image:          runtime.ImageSpec{Host: true},
		CanLimitMemory: true,
		CanLimitPids:   true,
		CanCutOff:      true,
		CanTellChanges: true,
	})
}
