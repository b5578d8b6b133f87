//go:build cluster

package kubernetes_test

import (
	"context"
	"errors"
	goruntime "runtime"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A task's tags and its platform lead to the nodes that have them.
func TestTagsAndPlatformsOfNodes(t *testing.T) {
	t.Parallel()
	options := newOptions(t)
	options.TagTemplates = map[string][]byte{
		"here":    []byte("spec: {nodeSelector: {kubernetes.io/hostname: 127.0.0.1}}"),
		"nowhere": []byte("spec: {nodeSelector: {kubernetes.io/hostname: nowhere}}"),
	}
	worker := newWorker(t, options)
	other := "arm64"
	if goruntime.GOARCH == other {
		other = "amd64"
	}
	for name, test := range map[string]struct {
		platform   string
		tags       []string
		waits, err string
	}{
		"here":               {platform: "linux/" + goruntime.GOARCH, tags: []string{"here"}},
		"nowhere":            {platform: "linux", tags: []string{"here", "nowhere"}, waits: "didn't match Pod's node affinity/selector"},
		"other-architecture": {platform: "linux/" + other, waits: "didn't match Pod's node affinity/selector"},
		"no-architecture":    {platform: "linux/vax", err: "platform linux/vax: a cluster knows linux with one of"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := newSpec(name)
			spec.Platform, spec.Tags = test.platform, test.tags
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			made := create(ctx, worker, spec)
			if test.waits != "" {
				made.wantSaid(t, test.waits)
				cancel()
				<-made.ended
				return
			}
			err := <-made.ended
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("it gave %v, want %q", err, test.err)
			}
		})
	}
}

// A node whose disk is full takes no pods, and that is what they wait for.
func TestNodeWithoutDiskSpace(t *testing.T) {
	t.Parallel()
	options := newOptions(t)
	client := admin(t)
	// What the node's kubelet and a controller would say.
	name := "full-" + options.Namespace
	full, err := client.Nodes().Create(t.Context(), &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"midge-test": name, "kubernetes.io/os": "linux"}},
		Spec:       corev1.NodeSpec{Taints: []corev1.Taint{{Key: corev1.TaintNodeDiskPressure, Effect: corev1.TaintEffectNoSchedule}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Nodes().Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	there := corev1.ResourceList{corev1.ResourcePods: resource.MustParse("10"), corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("4Gi")}
	full.Status.Capacity, full.Status.Allocatable = there, there
	full.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}, {Type: corev1.NodeDiskPressure, Status: corev1.ConditionTrue}}
	if _, err := client.Nodes().UpdateStatus(t.Context(), full, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	options.PodTemplate = []byte("spec: {nodeSelector: {midge-test: " + name + "}}")
	ctx, cancel := context.WithCancel(t.Context())
	made := create(ctx, newWorker(t, options), newSpec("full"))
	made.wantSaid(t, "1 node(s) had untolerated taint")
	cancel()
	<-made.ended
}

// A pod that its node turns away, which a scheduler may not know better, is made again
// until one takes it.
func TestNodeThatTurnsPodsAway(t *testing.T) {
	t.Parallel()
	options := newOptions(t)
	options.PodTemplate = []byte("spec: {nodeName: 127.0.0.1}") // in place of a scheduler's choice
	spec := newSpec("away")
	spec.Limits.Memory = unschedulable
	spec.Image = withCredentials("busybox", "test")
	ctx, cancel := context.WithCancel(t.Context())
	made := create(ctx, newWorker(t, options), spec)
	made.wantSaid(t, "node 127.0.0.1: OutOfmemory")
	made.wantSaid(t, "node 127.0.0.1: OutOfmemory") // of another pod
	cancel()
	if err := <-made.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it gave %v", err)
	}
}
