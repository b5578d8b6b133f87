//go:build cluster

package kubernetes_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	typedrbacv1 "k8s.io/client-go/kubernetes/typed/rbac/v1"
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
	options.Owner = newOwner(t, options.Namespace).Name
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
		if len(rule.ResourceNames) > 0 && !slices.Equal(rule.ResourceNames, []string{options.Owner}) {
			t.Errorf("the role is about %q, which the worker does not ask for", rule.ResourceNames)
		}
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
	spec.Image = withCredentials("busybox", "test")
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
