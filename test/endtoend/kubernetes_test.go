//go:build cluster

package endtoend

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/clientcmd"

	"midge/test/cluster"
)

// startCluster starts the cluster, or uses the one that there is. The test runs beside
// others, as the cluster may be another package's for a while.
func startCluster(t *testing.T) *cluster.Cluster {
	t.Helper()
	t.Parallel()
	node, err := cluster.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := node.Stop(); err != nil {
			t.Error(err)
		}
	})
	return node
}

// newNamespace makes a namespace with what a controller would make there, and gives a client
// that may do all.
func newNamespace(t *testing.T, node *cluster.Cluster) (client typedv1.CoreV1Interface, name string) {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", node.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	client, name = typedv1.NewForConfigOrDie(config), "test-"+strings.ToLower(rand.Text())
	if _, err := client.Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	if _, err := client.ServiceAccounts(name).Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return client, name
}

// A cluster is a worker like another: what a user does is unchanged.
func TestKubernetes(t *testing.T) {
	node := startCluster(t)
	template := filepath.Join(t.TempDir(), "pod.yaml")
	cache := fmt.Sprintf("spec: {volumes: [{name: midge-cache, hostPath: {path: %s}}]}", t.TempDir())
	if err := os.WriteFile(template, []byte(cache), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, "--runtime", "kubernetes", "--kubeconfig", node.Kubeconfig(), "--namespace", "default",
		"--agent-image", cluster.Agent, "--worker-name", "cluster", "--cache", "node", "--pod-template", template)
	const image = "image_resource: {type: registry-image, source: {repository: busybox, tag: test}}\n"

	s.midge("workers").want(t, 0, "cluster", "running")
	s.midge("execute", "-c", s.script("no-image", "true", "")).want(t, 2, "is a cluster, which has no system of its own", "image_resource")

	s.write(map[string]string{"src/hello": "hello from here\n"})
	task := s.script("task", `cat src/hello; echo made > out/file; echo x >> cache/runs; wc -l < cache/runs`,
		image+"inputs: [{name: src}]\noutputs: [{name: out}]\ncaches: [{path: cache}]\n")
	s.midge("execute", "-c", task, "-i", "src=src", "-o", "out=out").want(t, 0, "hello from here\n1\n")
	s.wantFile("out/file", "made\n")
	s.midge("execute", "-c", task, "-i", "src=src", "-o", "out=out").want(t, 0, "hello from here\n2\n", "nothing sent")

	failing := s.script("failing", "echo kept > file; exit 3", image)
	r := s.midge("execute", "-c", failing, "--json")
	if r.status != 3 {
		t.Fatalf("a task that fails: %+v", r)
	}
	r = s.midge("hijack", "--", "sh", "-c", "cat file; echo bad >&2; exit 7")
	if r.status != 7 || r.stdout != "kept\n" || !strings.Contains(r.stderr, "bad") {
		t.Errorf("a hijacked command: %+v", r)
	}
	s.midge("hijack", "--", "no-such-command").want(t, 255, "no-such-command")

	// Files of a held container come and go; what changed only the node could say.
	s.midge("ls", "4").want(t, 0, "file")
	s.midge("cat", "4:file").want(t, 0, "kept\n")
	s.write(map[string]string{"given/hello": "given\n"})
	s.midge("cp", "given", "4:given").want(t, 0)
	s.midge("cat", "4:given/hello").want(t, 0, "given\n")
	s.midge("cp", "4:given", "back").want(t, 0)
	s.wantFile("back/hello", "given\n")
	s.midge("diff", "4").want(t, 1, "whose nodes alone have its image")

	// A server that is killed and comes back goes on where it was.
	long := s.script("long", "echo begun; while [ ! -e open ]; do sleep 0.1; done; echo ended; exit 5", image)
	s.midge("execute", "-c", long, "--background").want(t, 0)
	eventually(t, "the task runs", func() error {
		if r := s.midge("hijack", "-b", "5", "--", "true"); r.status != 0 {
			return errors.New(r.stderr)
		}
		return nil
	})
	s.kill()
	s.start()
	s.midge("hijack", "-b", "5", "--", "touch", "open").want(t, 0)
	if r := s.midge("watch", "-b", "5"); r.status != 5 || !strings.HasSuffix(r.stdout, "begun\nended\n") || strings.Count(r.stdout, "begun") != 1 {
		t.Errorf("watch: %+v", r)
	}
	s.midge("usage", "5").want(t, 0, "cpu")
}
