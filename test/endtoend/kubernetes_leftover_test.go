//go:build cluster

package endtoend

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/clientcmd"

	"midge/test/cluster"
)

// However a build ends, nothing of it stays in the cluster: no pod and no secret.
func TestKubernetesLeavesNothing(t *testing.T) {
	node := startCluster(t)
	config, err := clientcmd.BuildConfigFromFlags("", node.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	client := typedv1.NewForConfigOrDie(config)
	namespace := "left-" + strings.ToLower(rand.Text())
	if _, err := client.Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	if _, err := client.ServiceAccounts(namespace).Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
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
