package agent

import (
	"context"
	"log/slog"
	"sync"

	"midge/api"
	"midge/usage"
)

// machine reads what the whole machine does.
var machine = sync.OnceValue(usage.OpenSystem)

// A usageWatch measures what the container uses while a process runs.
type usageWatch struct {
	begun chan struct{} // closed when watch is there, or will not be
	watch *usage.Watch
}

// watchUsage begins to measure, while the process is being started. It is called
// with mu held.
func (s *supervisor) watchUsage() *usageWatch {
	since := s.worked
	s.worked = true
	w := &usageWatch{begun: make(chan struct{})}
	go func() {
		defer close(w.begun)
		location, err := usage.Locate(s.container.pid)
		if err == nil {
			w.watch, err = usage.StartWatch(context.Background(), location, machine(), since)
		}
		if err != nil {
			slog.Error("what the process uses is not measured", "error", err)
		}
	}()
	return w
}

// finish ends the measuring and gives what there is, nil when there is nothing.
func (w *usageWatch) finish() *api.ResourceUsage {
	<-w.begun
	if w.watch == nil {
		return nil
	}
	used, err := w.watch.Finish(context.Background())
	if err != nil {
		slog.Error("not all that the process used was measured", "error", err)
	}
	return &used
}
