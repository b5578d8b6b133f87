package runtimetest_test

import (
	"testing"

	"midge/runtime"
	"midge/runtime/runtimetest"
)

func TestConformance(t *testing.T) {
	runtimetest.Run(t, func(t *testing.T) runtime.Worker {
		return runtimetest.NewWorker(runtimetest.Config{})
	}, runtimetest.Options{Image: runtime.ImageSpec{Host: true}, CanLimitMemory: true, CanLimitPids: true})
}
