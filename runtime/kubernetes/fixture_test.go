//go:build cluster

package kubernetes_test

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/clientcmd"

	"midge/runtime"
	"midge/runtime/kubernetes"
	"midge/test/cluster"
)

var busybox = runtime.ImageSpec{Registry: &runtime.RegistryImage{
	Type:   "registry-image",
	Source: map[string]any{"repository": "busybox", "tag": "test"},
}}

// patience is how long a test waits for what must come.
const patience = 3 * time.Minute

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

// newSpec gives the spec of a container like most in the tests.
func newSpec(handle string) runtime.ContainerSpec {
	return runtime.ContainerSpec{Handle: handle, Dir: "/tmp/build", Image: busybox}
}

// withCredentials names an image that is pulled as somebody.
func withCredentials(repository, tag string) runtime.ImageSpec {
	return runtime.ImageSpec{Registry: &runtime.RegistryImage{
		Type:   "registry-image",
		Source: map[string]any{"repository": repository, "tag": tag, "username": "ann", "password": "secret"},
	}}
}

// newContainer makes a container that goes with the test.
func newContainer(t *testing.T, worker *kubernetes.Worker, spec runtime.ContainerSpec) runtime.Container {
	t.Helper()
	container, err := worker.FindOrCreateContainer(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := container.Destroy(ctx); err != nil {
			t.Error(err)
		}
	})
	return container
}

// begin starts a shell script as a process.
func begin(t *testing.T, container runtime.Container, id, script string) runtime.Process {
	t.Helper()
	process, err := container.Run(t.Context(), runtime.ProcessSpec{ID: id, Path: "/bin/sh", Args: []string{"-c", script}, Stdin: true})
	if err != nil {
		t.Fatal(err)
	}
	return process
}

// output gives all that a process writes, on both streams.
func output(t *testing.T, process runtime.Process) string {
	t.Helper()
	reader, err := process.Output(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var all strings.Builder
	for {
		chunk, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return all.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		if chunk.Sequence != int64(all.Len()) {
			t.Fatalf("a chunk is numbered %d after %d bytes", chunk.Sequence, all.Len())
		}
		all.Write(chunk.Data)
	}
}

// await reads a process's output until it has the text.
func await(t *testing.T, process runtime.Process, text string) {
	t.Helper()
	reader, err := process.Output(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var all strings.Builder
	for !strings.Contains(all.String(), text) {
		chunk, err := reader.Next()
		if err != nil {
			t.Fatalf("%v after %q", err, all.String())
		}
		all.Write(chunk.Data)
	}
}

// podOf gives the pod of a container.
func podOf(t *testing.T, options kubernetes.Options, handle string) *corev1.Pod {
	t.Helper()
	pods, err := admin(t).Pods(options.Namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pods.Items {
		if p.Annotations["midge/handle"] == handle && p.DeletionTimestamp == nil {
			return &p
		}
	}
	t.Fatalf("no pod of %s", handle)
	return nil
}

func isNotFound(err error) bool {
	missing := (*runtime.NotFoundError)(nil)
	return errors.As(err, &missing)
}

// A creation is a container that is being made, to go again at once.
type creation struct {
	said  chan string
	ended chan error
}

func create(ctx context.Context, worker *kubernetes.Worker, spec runtime.ContainerSpec) creation {
	c := creation{make(chan string, 1000), make(chan error, 1)}
	spec.Progress = func(line string) { c.said <- line }
	go func() {
		container, err := worker.FindOrCreateContainer(ctx, spec)
		if err == nil {
			err = container.Destroy(ctx)
		}
		close(c.said)
		c.ended <- err
	}()
	return c
}

// wantSaid waits until something is said that has the text.
func (c creation) wantSaid(t *testing.T, text string) {
	t.Helper()
	for line := range c.said {
		if strings.Contains(line, text) {
			return
		}
	}
	t.Fatalf("it ended with %v, and did not say %q", <-c.ended, text)
}

// unschedulable is a wish for more memory than there is.
const unschedulable = 1 << 50
