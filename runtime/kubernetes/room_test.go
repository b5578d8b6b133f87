package kubernetes

import (
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Pods wait for room where those that have finished take it, and not for a node that has
// what they ask for.
func TestLacksRoom(t *testing.T) {
	for name, test := range map[string]struct {
		condition corev1.PodCondition
		want      bool
	}{
		"as many pods as a node takes": {unscheduled("0/2 nodes are available: 1 Too many pods, 1 node(s) had untolerated taint(s)."), true},
		"memory":                       {unscheduled("0/1 nodes are available: 1 Insufficient memory."), true},
		"no node like that":            {unscheduled("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."), false},
		"gated":                        {corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonSchedulingGated}, false},
		"has one":                      {corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, false},
		"new":                          {corev1.PodCondition{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := lacksRoom(&corev1.Pod{Status: corev1.PodStatus{Conditions: []corev1.PodCondition{test.condition}}}); got != test.want {
				t.Errorf("it gave %v", got)
			}
		})
	}
}

func unscheduled(message string) corev1.PodCondition {
	return corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: message}
}

// A pod that a quota keeps from being made waits for room until it is made, or is not.
func TestNoteQuota(t *testing.T) {
	w := &Worker{}
	told := 0
	note, tried := w.noteQuota(func(error) { told++ })
	refused := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "p", errors.New("exceeded quota: compute, requested: pods=1, used: pods=5, limited: pods=5"))
	note(apierrors.NewTooManyRequests("slow down", 1))
	if n := w.overQuota.Load(); n != 0 {
		t.Errorf("%d wait for the quota", n)
	}
	note(refused)
	note(refused)
	if waits, err := w.WaitsForRoom(t.Context()); !waits || err != nil {
		t.Errorf("it gave %v, %v", waits, err)
	}
	tried()
	if n := w.overQuota.Load(); n != 0 || told != 3 {
		t.Errorf("%d wait for the quota, and %d failures were told of", n, told)
	}
}
