package kubernetes

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// outagePatience is how long a pod may be out of reach before its user is told.
const outagePatience = 5 * time.Second

// An outage is what is known of a pod being out of reach.
type outage struct {
	mu      sync.Mutex
	since   time.Time // when it was not reached first, zero when it is
	failed  error     // why, nil while nothing is said
	changed chan struct{}
}

// begin notes that the pod is not reached.
func (o *outage) begin() {
	o.change(func() {
		if o.since.IsZero() {
			o.since = time.Now()
		}
	})
}

// fail notes why the pod is not reached.
func (o *outage) fail(err error) { o.change(func() { o.failed = err }) }

// end notes that the pod is reached.
func (o *outage) end() { o.change(func() { o.since, o.failed = time.Time{}, nil }) }

func (o *outage) change(do func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	do()
	if o.changed != nil {
		close(o.changed)
		o.changed = nil
	}
}

// state gives since when the pod is not reached and why, and what is closed when either
// changes.
func (o *outage) state() (since time.Time, changed <-chan struct{}, failed error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changed == nil {
		o.changed = make(chan struct{})
	}
	return o.since, o.changed, o.failed
}

// tell tells of an outage that lasts, once, and when it is over.
func (o *outage) tell(ctx context.Context, name string, tell func(line string)) {
	var told time.Time // since when the outage is that was told of
	for {
		since, changed, failed := o.state()
		var due <-chan time.Time
		switch {
		case since.IsZero() && !told.IsZero():
			tell(fmt.Sprintf("pod %s is reached again, after %s", name, time.Since(told).Round(time.Second)))
			told = time.Time{}
		case !since.IsZero() && told.IsZero() && time.Since(since) >= outagePatience:
			tell(outageLine(name, since, failed))
			told = since
		case !since.IsZero() && told.IsZero():
			due = time.After(time.Until(since.Add(outagePatience)))
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-due:
		}
	}
}

func outageLine(name string, since time.Time, failed error) string {
	why := "the cluster does not answer"
	if failed != nil {
		why = oneLine(failed.Error())
	}
	return fmt.Sprintf("pod %s is not reached since %s: %s; the task goes on, and its output comes when the pod is reached again",
		name, since.UTC().Format("15:04:05 UTC"), why)
}

// outage gives what is known of a pod of that name.
func (w *Worker) outage(name string) *outage {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.outages[name]
	if o == nil {
		o = &outage{}
		w.outages[name] = o
	}
	return o
}

// TellOutages implements runtime.Distant.
func (c *container) TellOutages(ctx context.Context, tell func(line string)) {
	c.worker.outage(c.pod).tell(ctx, c.pod, tell)
}
