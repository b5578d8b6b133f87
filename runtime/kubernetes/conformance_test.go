//go:build cluster

package kubernetes_test

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/clientcmd"

	"midge/runtime"
	"midge/runtime/kubernetes"
	"midge/runtime/runtimetest"
	"midge/test/cluster"
)

var busybox = runtime.ImageSpec{Registry: &runtime.RegistryImage{
	Type:   "registry-image",
	Source: map[string]any{"repository": "busybox", "tag": "test"},
}}

// admin gives a client that may do all.
func admin(t *testing.T) typedv1.CoreV1Interface {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", node.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	config.QPS, config.Burst = 100, 200
	client, err := typedv1.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// newNamespace makes a namespace that goes with the test, where nothing may be left by then.
func newNamespace(t *testing.T, labels map[string]string) string {
	t.Helper()
	client := admin(t)
	// Nobody finishes the deletion of those of earlier runs here.
	name := "test-" + strings.ToLower(rand.Text())
	if _, err := client.Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	if _, err := client.ServiceAccounts(name).Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { checkNothingLeft(t, client, name) })
	return name
}

// checkNothingLeft requires that no pod and no secret stays in a namespace.
func checkNothingLeft(t *testing.T, client typedv1.CoreV1Interface, namespace string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pods, err := client.Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pods.Items {
		if p.DeletionTimestamp == nil {
			t.Errorf("pod %s is left: %+v", p.Name, p.Status)
		}
	}
	secrets, err := client.Secrets(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range secrets.Items {
		t.Errorf("secret %s is left", s.Name)
	}
	if err := client.Namespaces().Delete(ctx, namespace, metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
}

// newOptions gives what most tests have.
func newOptions(t *testing.T) kubernetes.Options {
	t.Helper()
	return kubernetes.Options{
		Name:         "cluster",
		StateDir:     t.TempDir(),
		Kubeconfig:   node.Kubeconfig(),
		Namespace:    newNamespace(t, nil),
		AgentImage:   cluster.Agent,
		Security:     kubernetes.SecurityBaseline,
		StartTimeout: patience,
	}
}

func newWorker(t *testing.T, options kubernetes.Options) *kubernetes.Worker {
	t.Helper()
	worker, err := kubernetes.New(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(worker.Close)
	return worker
}

// patience is how long a test waits for what must come.
const patience = 3 * time.Minute

func TestConformance(t *testing.T) {
	var mu sync.Mutex
	byWorker := make(map[runtime.Worker]kubernetes.Options)
	runtimetest.Run(t, func(t *testing.T) runtime.Worker {
		options := newOptions(t)
		worker := newWorker(t, options)
		mu.Lock()
		defer mu.Unlock()
		byWorker[worker] = options
		return worker
	}, runtimetest.Options{
		Image:          busybox,
		Env:            []string{"PATH=/bin:/usr/bin"},
		CanLimitMemory: true,
		Reopen: func(t *testing.T, worker runtime.Worker) runtime.Worker {
			mu.Lock()
			options := byWorker[worker]
			mu.Unlock()
			next := newWorker(t, options)
			mu.Lock()
			defer mu.Unlock()
			byWorker[next] = options
			return next
		},
	})
}
