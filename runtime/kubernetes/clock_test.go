//go:build cluster

package kubernetes_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"midge/trace"
	"midge/trace/otlp"
)

// No time that the cluster tells is compared with this machine's: what an API server says
// whose clock is an hour ahead or behind makes nothing last longer or shorter.
func TestApiServerWhoseClockIsWrong(t *testing.T) {
	began := time.Now()
	var mu sync.Mutex
	spans := make(map[string]time.Duration)
	stop, err := trace.Record(trace.Options{Keep: func(span otlp.Span) {
		mu.Lock()
		defer mu.Unlock()
		spans[span.Name] = max(spans[span.Name], span.End.Sub(span.Start))
		if span.End.Before(span.Start) {
			t.Errorf("%q ended %s before it began", span.Name, span.Start.Sub(span.End))
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(context.Background()); err != nil {
			t.Error(err)
		}
		all := time.Since(began)
		mu.Lock()
		defer mu.Unlock()
		for _, name := range []string{"create container", "create pod", "schedule pod", "bring midge-agent", "start process", "destroy container"} {
			if took, ok := spans[name]; !ok || took > all {
				t.Errorf("%q took %s of %s", name, took, all)
			}
		}
	})
	for _, ahead := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(ahead.String(), func(t *testing.T) {
			t.Parallel()
			options := newOptions(t)
			f := newFront(t, "")
			f.ahead = ahead
			options.Kubeconfig = f.kubeconfig
			worker := newWorker(t, options)

			ctx, cancel := context.WithCancel(t.Context())
			spec := newSpec("waits")
			spec.Limits.Memory = unschedulable
			waits := create(ctx, worker, spec)
			waits.wantSaid(t, "Insufficient memory")

			spec = newSpec("runs")
			spec.Image = withCredentials("busybox", "test")
			container := newContainer(t, worker, spec)
			if got := output(t, begin(t, container, "task", "echo text")); got != "text\n" {
				t.Errorf("the output is %q", got)
			}
			if info, err := worker.Info(t.Context()); err != nil || info.Pending == 0 || info.Containers != 2 {
				t.Errorf("Info gave %+v, %v", info, err)
			}
			cancel()
			if err := <-waits.ended; !errors.Is(err, context.Canceled) {
				t.Errorf("the one that waited gave %v", err)
			}
			if f.times.Load() == 0 {
				t.Error("the API server has told no time")
			}
		})
	}
}
