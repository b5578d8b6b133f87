package runc_test

import (
	"testing"

	"midge/runtime"
	"midge/runtime/runtimetest"
)

func TestConformance(t *testing.T) {
	runtimetest.Run(t, func(t *testing.T) runtime.Worker { return newWorker(t) }, runtimetest.Options{
		Image:          runtime.ImageSpec{Host: true},
		CanLimitMemory: true,
		CanLimitPids:   true,
	})
}
