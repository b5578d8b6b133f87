package kubernetes

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"midge/runtime"
)

// What a kubeconfig lacks is said in one sentence.
func TestClusterConfig(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	missing, empty := filepath.Join(dir, "missing"), write("empty", "")
	another := write("another", "apiVersion: v1\nkind: Config\ncurrent-context: a\n")
	for name, test := range map[string]struct{ file, err string }{
		"none":       {"", "the server is in no cluster, and no kubeconfig says how to reach one: name one"},
		"not there":  {missing, "there is no kubeconfig " + missing + ": name one that is there"},
		"empty":      {empty, "the kubeconfig " + empty + " has no cluster in it: name one by which kubectl reaches yours"},
		"no context": {another, "the kubeconfig " + another + " does not say how to reach a cluster: invalid configuration: [context was not found for specified context: a, cluster has no server defined]; name one by which kubectl reaches yours"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := clusterConfig(test.file); err == nil || err.Error() != test.err {
				t.Errorf("it gave %v, want %s", err, test.err)
			}
		})
	}
}

func TestExplainRequest(t *testing.T) {
	pods := schema.GroupResource{Resource: "pods"}
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"nobody there": {
			&url.Error{Op: "Get", URL: "https://10.0.0.1:6443/api/v1/pods?labelSelector=a", Err: syscall.ECONNREFUSED},
			"the API server at 10.0.0.1:6443 does not answer: connection refused",
		},
		"no answer": {
			&noAnswerError{after: time.Second, err: &url.Error{Op: "Get", URL: "https://10.0.0.1:6443/api", Err: context.DeadlineExceeded}},
			"the API server has not answered within 1s",
		},
		"no right": {
			apierrors.NewForbidden(pods, "p", errors.New(`User "x" cannot create resource "pods"`)),
			"the worker lacks a right that the Role in deploy/kubernetes has, which is to be bound to its user: " +
				`pods "p" is forbidden: User "x" cannot create resource "pods"`,
		},
		"no user": {
			apierrors.NewUnauthorized("Unauthorized"),
			"the API server does not know who asks; renew the kubeconfig's credentials: Unauthorized",
		},
		"something else": {apierrors.NewBadRequest("no"), "no"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := explainRequest(test.err); got.Error() != test.want {
				t.Errorf("it gave %v, want %s", got, test.want)
			}
		})
	}
}

// A task that says nothing of what to run is refused: what its image runs only its node knows.
func TestTaskWithoutAPath(t *testing.T) {
	c := &container{worker: &Worker{options: Options{Name: "cluster"}}}
	_, err := c.Run(context.Background(), runtime.ProcessSpec{ID: runtime.TaskProcessID, Args: []string{"serve"}})
	want := `worker "cluster" is a cluster, which does not know what an image runs of itself: say by run.path what to run`
	if refused := (*runtime.SpecError)(nil); !errors.As(err, &refused) || err.Error() != want {
		t.Errorf("it gave %v, want %s", err, want)
	}
}
