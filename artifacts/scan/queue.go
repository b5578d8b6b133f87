package scan

import (
	"context"
	"sync"
)

// queue runs tasks on a number of goroutines, the latest first, so that a walk
// goes deep before it goes wide and few directories are open at a time.
type queue struct {
	workers int

	mu      sync.Mutex
	changed sync.Cond
	tasks   []func() error
	running int
	err     error
}

func newQueue(workers int) *queue {
	q := &queue{workers: workers}
	q.changed.L = &q.mu
	return q
}

// push adds a task; a task may push others.
func (q *queue) push(task func() error) {
	q.mu.Lock()
	q.tasks = append(q.tasks, task)
	q.mu.Unlock()
	q.changed.Signal()
}

// run returns when no task is left, or with the first error.
func (q *queue) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { q.fail(context.Cause(ctx)) })
	defer stop()
	var wg sync.WaitGroup
	for range q.workers {
		wg.Go(q.work)
	}
	wg.Wait()
	return q.err
}

func (q *queue) fail(err error) {
	q.mu.Lock()
	if q.err == nil {
		q.err = err
	}
	q.mu.Unlock()
	q.changed.Broadcast()
}

func (q *queue) work() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		for len(q.tasks) == 0 && q.running > 0 && q.err == nil {
			q.changed.Wait()
		}
		if len(q.tasks) == 0 || q.err != nil {
			q.changed.Broadcast()
			return
		}
		task := q.tasks[len(q.tasks)-1]
		q.tasks = q.tasks[:len(q.tasks)-1]
		q.running++
		q.mu.Unlock()
		err := task()
		q.mu.Lock()
		q.running--
		if err != nil && q.err == nil {
			q.err = err
			q.changed.Broadcast()
		}
	}
}
