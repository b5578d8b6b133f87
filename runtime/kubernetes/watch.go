package kubernetes

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
)

// A podWatch tells of a pod's changes, by one watch for as long as that lasts.
type podWatch struct {
	worker  *Worker
	changes watch.Interface // nil when there is none
	cancel  context.CancelFunc
}

// next gives a pod at its next change after before, nil when it is to be looked at
// otherwise: a watch on an API server that hangs would tell nothing for ever. One that has
// nothing to tell goes on.
func (w *podWatch) next(ctx context.Context, before *corev1.Pod) *corev1.Pod {
	limit := time.NewTimer(w.worker.options.RequestTimeout)
	defer limit.Stop()
	if w.changes == nil && !w.start(ctx, before) {
		return nil
	}
	select {
	case change, ok := <-w.changes.ResultChan():
		if p, ok := podOfChange(change, ok); ok {
			return p
		}
	case <-limit.C:
		return nil
	case <-ctx.Done():
	}
	w.stop()
	return nil
}

// start begins the watch, and tells whether it is there.
func (w *podWatch) start(ctx context.Context, before *corev1.Pod) bool {
	ctx, cancel := context.WithCancel(ctx)
	limit := time.AfterFunc(w.worker.options.RequestTimeout, cancel)
	changes, err := w.worker.client.Pods(before.Namespace).Watch(ctx, metav1.ListOptions{
		FieldSelector:   fields.OneTermEqualSelector(metav1.ObjectNameField, before.Name).String(),
		ResourceVersion: before.ResourceVersion,
	})
	limit.Stop()
	if err != nil {
		cancel()
		return false
	}
	w.changes, w.cancel = changes, cancel
	return true
}

// stop ends the watch, if there is one.
func (w *podWatch) stop() {
	if w.changes == nil {
		return
	}
	w.changes.Stop()
	w.cancel()
	w.changes = nil
}

// podOfChange gives the pod of a change that a watch has told. One that was deleted says
// so of itself. ok is false when the watch has nothing to tell any more.
func podOfChange(change watch.Event, more bool) (p *corev1.Pod, ok bool) {
	p, ok = change.Object.(*corev1.Pod)
	if !more || !ok {
		return nil, false
	}
	if change.Type == watch.Deleted && p.DeletionTimestamp == nil {
		p.DeletionTimestamp = new(metav1.Now())
	}
	return p, true
}
