//go:build cluster

package kubernetes_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"midge/test/source"
)

// collections are where the API server has what deploy/kubernetes makes in a namespace.
var collections = map[string]string{
	"Deployment":            "apis/apps/v1/namespaces/%/deployments",
	"NetworkPolicy":         "apis/networking.k8s.io/v1/namespaces/%/networkpolicies",
	"PersistentVolumeClaim": "api/v1/namespaces/%/persistentvolumeclaims",
	"Role":                  "apis/rbac.authorization.k8s.io/v1/namespaces/%/roles",
	"RoleBinding":           "apis/rbac.authorization.k8s.io/v1/namespaces/%/rolebindings",
	"Service":               "api/v1/namespaces/%/services",
	"ServiceAccount":        "api/v1/namespaces/%/serviceaccounts",
}

// deployed gives the objects of deploy/kubernetes as JSON, by their kinds.
func deployed(t *testing.T) map[string][][]byte {
	t.Helper()
	dir := filepath.Join(source.Dir(), "deploy/kubernetes")
	text, err := os.ReadFile(filepath.Join(dir, "kustomization.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var kustomization struct{ Resources []string }
	if err := yaml.Unmarshal(text, &kustomization); err != nil {
		t.Fatal(err)
	}
	objects := make(map[string][][]byte)
	for _, file := range kustomization.Resources {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		documents := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
		for {
			var object map[string]any
			err := documents.Decode(&object)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if object == nil {
				continue // a comment alone
			}
			encoded, err := json.Marshal(object)
			if err != nil {
				t.Fatal(err)
			}
			kind := object["kind"].(string)
			objects[kind] = append(objects[kind], encoded)
		}
	}
	return objects
}

// The cluster takes all that deploy/kubernetes has, knows all of its fields, and admits
// the server's pod to the namespace that is made for it.
func TestDeployment(t *testing.T) {
	t.Parallel()
	objects := deployed(t)
	if len(objects["Namespace"]) != 1 || len(objects["Deployment"]) != 1 || len(objects) != len(collections)+1 {
		t.Fatalf("there are %d kinds of objects", len(objects))
	}
	var space corev1.Namespace
	if err := json.Unmarshal(objects["Namespace"][0], &space); err != nil {
		t.Fatal(err)
	}
	namespace := newNamespace(t, space.Labels)
	config, err := clientcmd.BuildConfigFromFlags("", node.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	for kind, path := range collections {
		for _, object := range objects[kind] {
			url := config.Host + "/" + strings.Replace(path, "%", namespace, 1) + "?dryRun=All&fieldValidation=Strict"
			response, err := client.Post(url, "application/json", bytes.NewReader(object))
			if err != nil {
				t.Fatal(err)
			}
			said, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err != nil || response.StatusCode != http.StatusCreated {
				t.Errorf("%s: %s %s, %v", kind, response.Status, said, err)
			}
		}
	}
	var deployment appsv1.Deployment
	if err := json.Unmarshal(objects["Deployment"][0], &deployment); err != nil {
		t.Fatal(err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: deployment.Spec.Template.Spec.ServiceAccountName}}
	if _, err := admin(t).ServiceAccounts(namespace).Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	p := &corev1.Pod{ObjectMeta: deployment.Spec.Template.ObjectMeta, Spec: deployment.Spec.Template.Spec}
	p.Name = "midge-server"
	if _, err := admin(t).Pods(namespace).Create(t.Context(), p, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
		t.Errorf("the server's pod: %v", err)
	}
}
