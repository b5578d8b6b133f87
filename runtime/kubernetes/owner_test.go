//go:build cluster

package kubernetes_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"midge/runtime/kubernetes"
)

// newOwner claims the volume that deploy/kubernetes has the server's data on.
func newOwner(t *testing.T, namespace string) *corev1.PersistentVolumeClaim {
	t.Helper()
	claim, err := admin(t).PersistentVolumeClaims(namespace).Create(t.Context(), &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "midge-data"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return claim
}

// All that is made says whose it is: a pod goes with the server's data, which outlive
// the server's own pod, and a secret to pull an image with goes with its pod.
func TestOwners(t *testing.T) {
	t.Parallel()
	options := newOptions(t)
	options.Owner = "midge-data"
	if _, err := kubernetes.New(t.Context(), options); err == nil || !strings.Contains(err.Error(), "midge-data, which is not in namespace "+options.Namespace) {
		t.Errorf("without the owner it gave %v", err)
	}
	claim := newOwner(t, options.Namespace)
	worker := newWorker(t, options)
	spec := newSpec("owned")
	spec.Limits.Memory = unschedulable
	spec.Image = withCredentials("busybox", "test")
	ctx, cancel := context.WithCancel(t.Context())
	made := create(ctx, worker, spec)
	made.wantSaid(t, "Insufficient memory")
	p := podOf(t, options, "owned")
	secret, err := admin(t).Secrets(options.Namespace).Get(t.Context(), p.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if owners := p.OwnerReferences; len(owners) != 1 || owners[0].UID != claim.UID || owners[0].Controller != nil {
		t.Errorf("the pod's owners are %+v", owners)
	}
	if owners := secret.OwnerReferences; len(owners) != 1 || owners[0].UID != p.UID {
		t.Errorf("the secret's owners are %+v", owners)
	}
	for _, labels := range []map[string]string{p.Labels, secret.Labels} {
		if labels["midge/worker"] != "cluster" || labels["midge/container"] == "" {
			t.Errorf("the labels are %v", labels)
		}
	}
	cancel()
	if err := <-made.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it gave %v", err)
	}
}

// A pod whose server never comes back ends by itself, and one that comes late is told.
func TestDeadline(t *testing.T) {
	t.Parallel()
	options := newOptions(t)
	options.Deadline = time.Hour
	worker := newWorker(t, options)
	container, err := worker.FindOrCreateContainer(t.Context(), newSpec("deadline"))
	if err != nil {
		t.Fatal(err)
	}
	await(t, begin(t, container, "task", "trap '' TERM; echo begun; while :; do sleep 1; done"), "begun")
	worker.Close()
	p := podOf(t, options, "deadline")
	if deadline := p.Spec.ActiveDeadlineSeconds; deadline == nil || *deadline != 3600 {
		t.Errorf("the pod's deadline is %v", deadline)
	}
	// The hour is over.
	if _, err := admin(t).Pods(p.Namespace).Patch(t.Context(), p.Name, types.MergePatchType, []byte(`{"spec":{"activeDeadlineSeconds":1}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	p = awaitPod(t, p, func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	for _, status := range p.Status.ContainerStatuses {
		if status.State.Terminated == nil {
			t.Errorf("the container is not at its end: %+v", status.State)
		}
	}
	late, err := newWorker(t, options).FindOrCreateContainer(t.Context(), newSpec("deadline"))
	if err != nil {
		t.Fatal(err)
	}
	process, err := late.Attach(t.Context(), "task")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := process.Wait(t.Context()); err == nil || !strings.Contains(err.Error(), "longer than a pod of this worker may be") {
		t.Errorf("Wait gave %v", err)
	}
	if err := late.Destroy(t.Context()); err != nil {
		t.Error(err)
	}
}

// awaitPod gives a pod once it is as is says.
func awaitPod(t *testing.T, p *corev1.Pod, is func(*corev1.Pod) bool) *corev1.Pod {
	t.Helper()
	changes, err := admin(t).Pods(p.Namespace).Watch(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=" + p.Name})
	if err != nil {
		t.Fatal(err)
	}
	defer changes.Stop()
	for change := range changes.ResultChan() {
		if now, ok := change.Object.(*corev1.Pod); ok && is(now) {
			return now
		}
	}
	t.Fatalf("pod %s did not become what it should", p.Name)
	return nil
}
