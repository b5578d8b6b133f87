package kubernetes

import (
	"context"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"midge/runtime"
)

var _ runtime.Crowded = (*Worker)(nil)

// WaitsForRoom implements runtime.Crowded: a pod whose build has finished has its place on
// a node, what it has requested there, and its part of a quota, until it is removed.
func (w *Worker) WaitsForRoom(ctx context.Context) (bool, error) {
	if w.overQuota.Load() > 0 {
		return true, nil
	}
	pods, err := w.pods(ctx)
	if err != nil {
		return false, err
	}
	for _, p := range pods {
		if lacksRoom(&p) {
			return true, nil
		}
	}
	return false, nil
}

// lacksRoom tells whether a pod is on no node because those that it may be on are full.
func lacksRoom(p *corev1.Pod) bool {
	scheduled := findCondition(p, corev1.PodScheduled)
	return scheduled != nil && scheduled.Status == corev1.ConditionFalse && scheduled.Reason == corev1.PodReasonUnschedulable &&
		(strings.Contains(scheduled.Message, "Too many pods") || strings.Contains(scheduled.Message, "Insufficient "))
}

// noteQuota gives what is told of each failure to make a pod, and tells failed in turn, so
// that it is known that a quota is what it waits for. tried is called when no more is tried.
func (w *Worker) noteQuota(failed func(error)) (note func(error), tried func()) {
	waits := false
	note = func(err error) {
		if !waits && isQuota(err) {
			waits = true
			w.overQuota.Add(1)
		}
		failed(err)
	}
	return note, func() {
		if waits {
			w.overQuota.Add(-1)
		}
	}
}

// isQuota tells whether the API server makes no pod because the namespace may have no more.
func isQuota(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "exceeded quota")
}
