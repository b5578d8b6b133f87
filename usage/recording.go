package usage

import (
	"context"
	"sync"
	"time"
)

const (
	// StepSamples is how many samples a step keeps at the most.
	StepSamples = 10
	// SystemSamples is how many samples of the machine a build keeps at the most.
	SystemSamples = 20

	// interval is the time to the first sample.
	interval = 2 * time.Second
)

// Recording takes samples while something runs: the first after two seconds, each
// other one after twice the time of the one before it, and one at the end. When they
// would become too many every second one is dropped. So whatever just began is looked
// at soon, and what takes its time costs next to nothing: a sample wakes a process
// that sleeps, which costs several times what a process that is awake needs for it.
// One goroutine takes and owns them; nobody ever waits for it but Finish.
type Recording[T any] struct {
	ctx    context.Context
	sample func(ctx context.Context, last bool) (T, error)
	most   int
	finish func()
	asked  chan struct{}
	done   chan struct{}

	// Written by the goroutine, read once done is closed.
	samples []T
	err     error
}

// Record begins to take samples and keeps at most most of them, at least 2. It goes
// on until Finish is called or ctx ends; one of them must happen. sample is told
// whether the sample is the last one. One that fails before that is left out.
func Record[T any](ctx context.Context, most int, sample func(ctx context.Context, last bool) (T, error)) *Recording[T] {
	r := &Recording[T]{ctx: ctx, sample: sample, most: max(most, 2), asked: make(chan struct{}), done: make(chan struct{})}
	r.finish = sync.OnceFunc(func() { close(r.asked) })
	go r.run()
	return r
}

func (r *Recording[T]) run() {
	defer close(r.done)
	wait := interval
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			if sample, err := r.sample(r.ctx, false); err == nil {
				r.samples = append(r.samples, sample)
			}
			// One place is kept for the last sample.
			if len(r.samples) == r.most {
				r.samples = everySecond(r.samples)
			}
			wait *= 2
			timer.Reset(wait)
		case <-r.asked:
			r.takeLast()
			return
		case <-r.ctx.Done():
			r.err = context.Cause(r.ctx)
			return
		}
	}
}

func (r *Recording[T]) takeLast() {
	sample, err := r.sample(r.ctx, true)
	if err != nil {
		r.err = err
		return
	}
	r.samples = append(r.samples, sample)
}

// Finish takes the last sample, ends the recording and gives all of it, oldest first.
// When the last one could not be taken it gives the error beside those that were.
// Calling it again gives the same.
func (r *Recording[T]) Finish() ([]T, error) {
	r.finish()
	<-r.done
	return r.samples, r.err
}

// Thin drops samples, each time every second one, until there are at most most of
// them, at least 2. The last one stays.
func Thin[T any](samples []T, most int) []T {
	for len(samples) > max(most, 2) {
		last := samples[len(samples)-1]
		odd := len(samples)%2 == 1
		if samples = everySecond(samples); odd {
			samples[len(samples)-1] = last
		}
	}
	return samples
}

// everySecond drops the samples at even places, so that those left are evenly
// spaced from the beginning of the recording.
func everySecond[T any](samples []T) []T {
	kept := samples[:0]
	for i, sample := range samples {
		if i%2 == 1 {
			kept = append(kept, sample)
		}
	}
	return kept
}
