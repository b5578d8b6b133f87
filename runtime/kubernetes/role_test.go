//go:build cluster

package kubernetes_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	typedrbacv1 "k8s.io/client-go/kubernetes/typed/rbac/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"midge/runtime"
	"midge/runtime/kubernetes"
	"midge/test/source"
)

// deployedRole gives the role and its binding that deploy/kubernetes has.
func deployedRole(t *testing.T) (rbacv1.Role, rbacv1.RoleBinding) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(source.Dir(), "deploy/kubernetes/role.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var role rbacv1.Role
	var binding rbacv1.RoleBinding
	documents := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for _, into := range []any{new(struct{}), &role, &binding} {
		if err := documents.Decode(into); err != nil {
			t.Fatal(err)
		}
	}
	return role, binding
}

// A front is an API server in front of the cluster's: whoever asks it is the service
// account that deploy/kubernetes makes, in a namespace. It knows what it was asked for.
type front struct {
	kubeconfig string
	bytes      atomic.Int64 // that have passed, either way

	mu           sync.Mutex
	asked        map[string]bool // verbs and resources
	noWebsockets bool
	failing      []int // statuses that the next requests to make a pod are answered with
}

// newFront gives one whose user is the namespace's, or of all namespaces the administrator.
func newFront(t *testing.T, namespace string) *front {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", node.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	config.NextProtos = []string{"http/1.1"} // the other has no upgrades
	transport, err := rest.TransportFor(config)
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{asked: make(map[string]bool)}
	proxy := &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			if namespace != "" {
				r.Out.Header.Set("Impersonate-User", "system:serviceaccount:"+namespace+":midge-server")
			}
		},
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.refuses(r) {
			http.Error(w, "no websockets here", http.StatusBadRequest)
			return
		}
		if status := f.fails(r); status != 0 {
			http.Error(w, "not now", status)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	server.Listener = countingListener{server.Listener, &f.bytes}
	server.Start()
	t.Cleanup(server.Close)
	f.kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf("apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: %q}}]\ncontexts: [{name: c, context: {cluster: c, namespace: %q}}]\ncurrent-context: c\n", server.URL, namespace)
	if err := os.WriteFile(f.kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

// A countingListener counts the bytes of all its connections.
type countingListener struct {
	net.Listener
	bytes *atomic.Int64
}

func (l countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return countingConn{conn, l.bytes}, err
}

type countingConn struct {
	net.Conn
	bytes *atomic.Int64
}

func (c countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.bytes.Add(int64(n))
	return n, err
}

func (c countingConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.bytes.Add(int64(n))
	return n, err
}

// refuses notes what a request asks for, and tells whether it is refused.
func (f *front) refuses(r *http.Request) bool {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/") // api v1 namespaces NAMESPACE RESOURCE [NAME [SUBRESOURCE]]
	if len(parts) < 5 {
		return false
	}
	resource, verb := parts[4], map[string]string{"POST": "create", "GET": "list", "PATCH": "patch", "DELETE": "delete"}[r.Method]
	if len(parts) > 6 {
		resource += "/" + parts[6]
	}
	switch {
	case r.Method == "GET" && len(parts) > 5:
		verb = "get"
	case r.Method == "GET" && r.URL.Query().Get("watch") != "":
		verb = "watch"
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked[verb+" "+resource] = true
	return f.noWebsockets && strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// answer has the next requests to make a pod fail with these statuses, one after the other.
func (f *front) answer(statuses ...int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failing = statuses
}

// fails gives the status that a request fails with, 0 when it does not.
func (f *front) fails(r *http.Request) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/pods") || len(f.failing) == 0 {
		return 0
	}
	status := f.failing[0]
	f.failing = f.failing[1:]
	return status
}

func (f *front) refuseWebsockets(refuse bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.noWebsockets = refuse
}

// The role suffices for all that a worker does, and gives no more than that asks for.
func TestRole(t *testing.T) {
	t.Parallel()
	options := newOptions(t)
	role, binding := deployedRole(t)
	binding.Subjects[0].Namespace = options.Namespace
	config, err := clientcmd.BuildConfigFromFlags("", node.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	rbac := typedrbacv1.NewForConfigOrDie(config)
	f := newFront(t, options.Namespace)
	options.Kubeconfig, options.Namespace = f.kubeconfig, ""
	if _, err := kubernetes.New(t.Context(), options); err == nil || !strings.Contains(err.Error(), "lacks a right that the Role in deploy/kubernetes has") {
		t.Errorf("without the role it gave %v", err)
	}
	namespace := binding.Subjects[0].Namespace
	if _, err := rbac.Roles(namespace).Create(t.Context(), &role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := rbac.RoleBindings(namespace).Create(t.Context(), &binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	options.Namespace = namespace
	// The API server does not say when it has heard of the binding.
	for deadline := time.Now().Add(patience); ; {
		worker, err := kubernetes.New(t.Context(), options)
		if err == nil {
			worker.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	f.exercise(t, options)

	var given []string
	for _, rule := range role.Rules {
		for _, resource := range rule.Resources {
			for _, verb := range rule.Verbs {
				given = append(given, verb+" "+resource)
			}
		}
	}
	slices.Sort(given)
	var asked []string
	for what := range f.asked {
		asked = append(asked, what)
	}
	slices.Sort(asked)
	if !slices.Equal(given, asked) {
		t.Errorf("the role gives\n%s\nand the worker asks for\n%s", strings.Join(given, "\n"), strings.Join(asked, "\n"))
	}
}

// exercise does all that makes a worker ask something of the cluster.
func (f *front) exercise(t *testing.T, options kubernetes.Options) {
	worker := newWorker(t, options)
	f.refuseWebsockets(true)
	spec := newSpec("role")
	spec.Image = runtime.ImageSpec{Registry: &runtime.RegistryImage{Type: "registry-image",
		Source: map[string]any{"repository": "busybox", "tag": "test", "username": "ann", "password": "secret"}}}
	spec.Outputs = []runtime.Output{{Path: "out"}}
	container := newContainer(t, worker, spec)
	if got := output(t, begin(t, container, "task", "echo over SPDY")); got != "over SPDY\n" {
		t.Errorf("the output is %q", got)
	}
	f.refuseWebsockets(false)
	again := newWorker(t, options)
	found, err := again.LookupContainer(t.Context(), "role")
	if err != nil {
		t.Fatal(err)
	}
	process := begin(t, found, "other", "echo over websockets; read line")
	await(t, process, "websockets")
	volume, err := found.Volume(t.Context(), "out")
	if err != nil {
		t.Fatal(err)
	}
	stream, err := volume.StreamOut(t.Context(), ".")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, stream); err != nil {
		t.Error(err)
	}
	stream.Close()
	if info, err := again.Info(t.Context()); err != nil || info.Containers != 1 {
		t.Errorf("Info gave %+v, %v", info, err)
	}
	if err := found.Destroy(t.Context()); err != nil {
		t.Error(err)
	}
	// Of a pod that is gone by another's doing it has to look why, once the connection
	// that it has is cut.
	for err = nil; err == nil; {
		_, err = container.Processes(t.Context())
	}
	if !isNotFound(err) {
		t.Errorf("Processes of a container that is gone gave %v", err)
	}
	ended := newContainer(t, again, newSpec("ended"))
	process = begin(t, ended, "task", "echo begun; sleep 100000")
	await(t, process, "begun")
	p := podOf(t, options, "ended")
	awaitLogged(t, p, "begun")
	killFirst(t, p)
	if got, err := outputFrom(t, process, 0); got != "begun\n" || err == nil {
		t.Errorf("the output of a pod that has ended is %q, %v", got, err)
	}
}

func isNotFound(err error) bool {
	missing := (*runtime.NotFoundError)(nil)
	return errors.As(err, &missing)
}
