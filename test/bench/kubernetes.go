package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/clientcmd"

	"midge/test/cluster"
)

// runKubernetes measures a worker that is a cluster of one node beside bare pods of it.
func runKubernetes(ctx context.Context, binaries string, atOnce int) (err error) {
	node, err := cluster.Start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Stop()) }()
	config, err := clientcmd.BuildConfigFromFlags("", node.Kubeconfig())
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 100, 200
	client, err := typedv1.NewForConfig(config)
	if err != nil {
		return err
	}
	// The node's directory is the bench's, and goes with that.
	template, err := writeTemplate()
	if err != nil {
		return err
	}
	defer os.RemoveAll(filepath.Dir(template))
	b, err := newBench(ctx, binaries, slices.Concat(allAtOnce, []string{"--runtime", "kubernetes", "--kubeconfig", node.Kubeconfig(), "--namespace", "default",
		"--agent-image", cluster.Agent, "--worker-name", "cluster", "--cache", "node", "--pod-template", template})...)
	if err != nil {
		return err
	}
	defer b.close()
	image := map[string]any{"type": "registry-image", "source": map[string]any{"repository": "busybox", "tag": "test"}}
	task, err := b.writeTask("true", "exit 0", map[string]any{"image_resource": image})
	if err != nil {
		return err
	}
	pods := barePods{client.Pods("default")}
	if err := b.benchPod(ctx, task, pods); err != nil {
		return err
	}
	if err := b.benchTree(ctx, image); err != nil {
		return err
	}
	if err := b.benchPods(ctx, task, pods, atOnce); err != nil {
		return err
	}
	return b.print(os.Stdout)
}

// writeTemplate writes a pod template by which the node's cache is beside it.
func writeTemplate() (path string, err error) {
	dir, err := os.MkdirTemp("", "midge-bench.")
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("spec: {volumes: [{name: midge-cache, hostPath: {path: %q}}]}\n", filepath.Join(dir, "cache"))
	path = filepath.Join(dir, "pod.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return path, nil
}

// benchPod measures one execute beside one pod.
func (b *bench) benchPod(ctx context.Context, task string, pods barePods) error {
	n := 0
	ours, theirs, err := interleave(10,
		func() (time.Duration, error) { return timed(b.midge(ctx, "execute", "-c", task)) },
		func() (time.Duration, error) {
			n++
			return pods.run(ctx, fmt.Sprintf("bare-%d", n))
		})
	if err != nil {
		return err
	}
	b.compare("`execute` of `true` in a cluster, p50", ours, "a pod, created to terminated", theirs, "<= 0.3 s more")
	return nil
}

// benchPods measures many executes at once beside as many pods.
func (b *bench) benchPods(ctx context.Context, task string, pods barePods, n int) error {
	theirs, err := atOnce(n, n, func(i int) error {
		_, err := pods.run(ctx, fmt.Sprintf("many-%d", i))
		return err
	})
	if err != nil {
		return err
	}
	ours, err := atOnce(n, n, func(int) error {
		_, err := timed(b.midge(ctx, "execute", "-c", task))
		return err
	})
	if err != nil {
		return err
	}
	b.compare(fmt.Sprintf("%d executes at once in a cluster, none lost", n), ours, fmt.Sprintf("%d pods", n), theirs, "<= 1.3 x")
	return nil
}

// barePods are pods that nobody but Kubernetes runs.
type barePods struct{ typedv1.PodInterface }

// run runs true in a pod, and says how long it took from its creation to its end.
func (p barePods) run(ctx context.Context, name string) (time.Duration, error) {
	start := time.Now()
	made, err := p.Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{
			RestartPolicy:                corev1.RestartPolicyNever,
			AutomountServiceAccountToken: new(false),
			Containers:                   []corev1.Container{{Name: "main", Image: cluster.BusyBox, Command: []string{"true"}}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return 0, err
	}
	changes, err := p.Watch(ctx, metav1.ListOptions{
		FieldSelector:   fields.OneTermEqualSelector(metav1.ObjectNameField, name).String(),
		ResourceVersion: made.ResourceVersion,
	})
	if err != nil {
		return 0, err
	}
	defer changes.Stop()
	for change := range changes.ResultChan() {
		if pod, ok := change.Object.(*corev1.Pod); ok && pod.Status.Phase == corev1.PodSucceeded {
			took := time.Since(start)
			return took, p.Delete(ctx, name, metav1.DeleteOptions{})
		}
	}
	return 0, fmt.Errorf("pod %s: the watch ended before it did", name)
}
