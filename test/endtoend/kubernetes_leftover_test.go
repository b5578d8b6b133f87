//go:build cluster

package endtoend

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"midge/test/cluster"
)

// What becomes of pods when their builds have ended.
func TestKubernetesPodsOfFinishedBuilds(t *testing.T) {
	node := startCluster(t)
	t.Run("leave nothing", func(t *testing.T) {
		t.Parallel()
		testNothingIsLeft(t, node)
	})
	t.Run("make room", func(t *testing.T) {
		t.Parallel()
		testRoomIsMade(t, node)
	})
}

// However a build ends, nothing of it stays in the cluster: no pod and no secret.
func testNothingIsLeft(t *testing.T, node *cluster.Cluster) {
	client, namespace := newNamespace(t, node)
	s := startServer(t, "--runtime", "kubernetes", "--kubeconfig", node.Kubeconfig(), "--namespace", namespace, "--agent-image", cluster.Agent,
		"--gc-interval", "100ms", "--gc-grace", "0s", "--hold-failed", "0s")
	const image = "image_resource: {type: registry-image, source: {repository: %s, tag: test, username: ann, password: secret}}\n"
	there, missing := fmt.Sprintf(image, "busybox"), fmt.Sprintf(image, "127.0.0.1:1/missing")

	s.midge("execute", "-c", s.script("succeeds", "true", there)).want(t, 0)
	s.midge("execute", "-c", s.script("fails", "exit 3", there)).want(t, 3)
	s.midge("execute", "-c", s.task("errs", "platform: linux\nrun: {path: /no/such}\n"+there)).want(t, 2)
	s.midge("execute", "-c", s.script("sleeps", "echo begun; sleep 100000", there), "--background").want(t, 0)
	s.midge("execute", "-c", s.script("starts", "true", missing), "--background").want(t, 0)
	eventually(t, "the task runs and the other waits", func() error {
		r := s.midge("workers", "--json")
		if !strings.Contains(r.stdout, `"active_tasks": 1`) || !strings.Contains(r.stdout, "cannot be pulled") {
			return errors.New(r.stdout)
		}
		return nil
	})
	s.midge("abort-build", "-b", "4").want(t, 0)
	s.midge("abort-build", "-b", "5").want(t, 0)
	eventually(t, "nothing is left", func() error {
		pods, err := client.Pods(namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		secrets, err := client.Secrets(namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, p := range pods.Items {
			if p.DeletionTimestamp == nil {
				return fmt.Errorf("there is pod %s", p.Name)
			}
		}
		if len(secrets.Items) > 0 {
			return fmt.Errorf("there are %d secrets", len(secrets.Items))
		}
		return nil
	})
}
