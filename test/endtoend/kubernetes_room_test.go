//go:build cluster

package endtoend

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"midge/test/cluster"
)

// On nodes that are full the pods of finished builds go for those that wait, and those that
// are held stay.
func testRoomIsMade(t *testing.T, node *cluster.Cluster) {
	client, namespace := newNamespace(t, node)
	s := startServer(t, "--runtime", "kubernetes", "--kubeconfig", node.Kubeconfig(), "--namespace", namespace, "--agent-image", cluster.Agent,
		"--gc-interval", "100ms", "--gc-grace", "1h")
	nodes, err := client.Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil || len(nodes.Items) != 1 {
		t.Fatalf("the nodes are %v, %v", nodes, err)
	}
	large := fmt.Sprintf("image_resource: {type: registry-image, source: {repository: busybox, tag: test}}\ncontainer_limits: {memory: %d}\n",
		nodes.Items[0].Status.Allocatable.Memory().Value()*2/5) // of which it has room for two

	s.midge("execute", "-c", s.script("finished", "true", large)).want(t, 0)
	s.midge("execute", "-c", s.script("held", "exit 3", large), "--hold", "1h").want(t, 3)
	if pods, err := client.Pods(namespace).List(t.Context(), metav1.ListOptions{}); err != nil || len(pods.Items) != 2 {
		t.Errorf("before there are %d pods, %v", len(pods.Items), err)
	}
	s.midge("execute", "-c", s.script("waits", "true", large)).want(t, 0, "no node takes the pod yet", "Insufficient memory")
	s.midge("hijack", "-b", "1", "--", "true").want(t, 1, "nobody held it")
	s.midge("hijack", "-b", "2", "--", "true").want(t, 0)
	s.midge("hijack", "-b", "3", "--", "true").want(t, 0)
}
