//go:build cluster

package kubernetes_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"midge/runtime"
	"midge/runtime/kubernetes"
)

// deleteByHand deletes the pod of a container, as anybody may.
func deleteByHand(t *testing.T, options kubernetes.Options, handle string) *corev1.Pod {
	t.Helper()
	p := podOf(t, options, handle)
	if err := admin(t).Pods(p.Namespace).Delete(t.Context(), p.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	return p
}

// A pod that is deleted by hand before its task runs ends the container's making, in
// whatever phase that is.
func TestDeletedWhileItStarts(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*testing.T, *kubernetes.Options, *runtime.ContainerSpec) (reached <-chan struct{}){
		"pending": func(_ *testing.T, _ *kubernetes.Options, spec *runtime.ContainerSpec) <-chan struct{} {
			spec.Limits.Memory = unschedulable
			return nil // it is said
		},
		"init": func(t *testing.T, options *kubernetes.Options, _ *runtime.ContainerSpec) <-chan struct{} {
			host, asked := newSlowRegistry(t)
			options.AgentImage = host + "/agent:1"
			return asked
		},
		"pull": func(t *testing.T, _ *kubernetes.Options, spec *runtime.ContainerSpec) <-chan struct{} {
			host, asked := newSlowRegistry(t)
			spec.Image = withCredentials(host+"/image", "1")
			return asked
		},
		"held for an exchange": func(t *testing.T, options *kubernetes.Options, spec *runtime.ContainerSpec) <-chan struct{} {
			onNode(t, options)
			return neverFetched(t, spec)
		},
		"exchange": func(t *testing.T, _ *kubernetes.Options, spec *runtime.ContainerSpec) <-chan struct{} {
			return neverFetched(t, spec)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options, spec := newOptions(t), newSpec("starting")
			reached := prepare(t, &options, &spec)
			made := create(t.Context(), newWorker(t, options), spec)
			if reached == nil {
				made.wantSaid(t, "Insufficient memory")
			} else {
				select {
				case <-reached:
				case err := <-made.ended:
					t.Fatalf("it ended with %v", err)
				}
			}
			p := deleteByHand(t, options, "starting")
			if err := <-made.ended; err == nil || !strings.Contains(err.Error(), "pod "+p.Name+" was deleted") {
				t.Errorf("it gave %v", err)
			}
		})
	}
}

// neverFetched gives a container an input that never comes.
func neverFetched(t *testing.T, spec *runtime.ContainerSpec) (asked <-chan struct{}) {
	_, tree := newStore(t, map[string]string{"file": "text"})
	first := make(chan struct{})
	spec.Inputs = []runtime.Input{{Artifact: stuck{tree, sync.OnceFunc(func() { close(first) })}, Path: "in"}}
	return first
}

// A stuck tree is one whose store never answers.
type stuck struct {
	kubernetes.Stored
	asked func()
}

func (s stuck) Objects() http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s.asked()
		<-r.Context().Done()
	})
}

// A pod that goes while its task runs ends that with a sentence, and so does one that is
// held after that.
func TestDeletedWhileItRuns(t *testing.T) {
	t.Parallel()
	options := newOptions(t)
	options.RequestTimeout = 5 * time.Second // a node may not answer who asks for a pod that goes
	worker := newWorker(t, options)
	container := newContainer(t, worker, newSpec("deleted"))
	process := begin(t, container, "task", "echo begun; sleep 100000")
	await(t, process, "begun")
	p := deleteByHand(t, options, "deleted")
	_, err := process.Wait(t.Context())
	wantGone(t, err, "pod "+p.Name+" was deleted")
	if _, err := worker.LookupContainer(t.Context(), "deleted"); !isNotFound(err) {
		t.Errorf("LookupContainer gave %v", err)
	}

	container = newContainer(t, worker, newSpec("held"))
	if status, err := begin(t, container, "task", "exit 3").Wait(t.Context()); err != nil || status.Code != 3 {
		t.Errorf("the task ended with %+v, %v", status, err)
	}
	p = deleteByHand(t, options, "held")
	for err = nil; err == nil; { // until the connection that there is has been cut
		_, err = container.Processes(t.Context())
	}
	wantGone(t, err, "pod "+p.Name+" was deleted")
}

// wantGone requires the error of a container that is no more.
func wantGone(t *testing.T, err error, text string) {
	t.Helper()
	if missing := (*runtime.NotFoundError)(nil); !errors.As(err, &missing) || !strings.Contains(err.Error(), text) {
		t.Errorf("it gave %v, want %q", err, text)
	}
}

// A node that is lost is waited for as long as the cluster does: when that takes the
// pod away the task has ended, and it is said why.
func TestLostNode(t *testing.T) {
	options := newOptions(t)
	container := newContainer(t, newWorker(t, options), newSpec("lost"))
	process := begin(t, container, "task", "echo begun; sleep 100000")
	await(t, process, "begun")
	if err := node.Signal("kubelet", syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := node.Restart(t.Context(), "kubelet"); err != nil {
			t.Error(err)
		}
	}()
	p := podOf(t, options, "lost")
	// What a controller does that hears nothing of the node, and then takes its pods away.
	eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: p.Name}}
	if err := admin(t).Pods(p.Namespace).EvictV1(t.Context(), eviction); err != nil {
		t.Fatal(err)
	}
	_, err := process.Wait(t.Context())
	wantGone(t, err, "pod "+p.Name+" was deleted: Eviction API: evicting")
}
