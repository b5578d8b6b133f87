package kubernetes

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"midge/agent/pod"
)

// A template that was found to be good can be merged over a pod, and leaves what
// the pod is found by, and what its containers run.
func FuzzTemplate(f *testing.F) {
	for _, text := range []string{
		"spec: {nodeSelector: {disk: ssd}, tolerations: [{key: a, operator: Exists}]}\n",
		"kind: Pod\nmetadata: {name: evil, namespace: evil, labels: {a: b}, annotations: {midge: x}}\n",
		"spec: {containers: [{name: task, command: [evil]}]}\n", "spec: {containers: [{name: other, image: x}]}\n",
		"spec: {containers: [{$patch: delete, name: task}]}\n", "metadata: null\n", "spec: {restartPolicy: Always}\n", "[]", "\x00", "a: &a [*a]\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, template []byte) {
		if checkTemplate(template) != nil {
			return
		}
		p := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "midge-1", Namespace: "midge", Labels: map[string]string{"l": "1"}, Annotations: map[string]string{"a": "1"}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: taskContainer, Command: []string{"agent"}}}},
		}
		merged, err := withTemplate(p, template)
		if err != nil {
			return
		}
		if merged.Name != p.Name || merged.Namespace != p.Namespace || merged.Labels["l"] != "1" || merged.Annotations["a"] != "1" {
			t.Errorf("it became %+v", merged.ObjectMeta)
		}
	})
}

// Whatever a cluster says of a pod, what it waits for is one line, and annotations that
// are not what they were are an error.
func FuzzPod(f *testing.F) {
	for _, p := range []*corev1.Pod{
		scheduled(func(p *corev1.Pod) {}),
		initialized(waiting("ErrImagePull", "manifest unknown")),
		initialized(waiting("CrashLoopBackOff", "a\nb")),
		initialized(corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}),
		scheduled(func(p *corev1.Pod) { p.Status.Phase, p.Status.Reason = corev1.PodFailed, "Evicted" }),
		scheduled(func(p *corev1.Pod) {
			p.Annotations[annotationVolumes] = `[{"handle":"v","kind":"output","target":"/x"}]`
		}),
	} {
		text, err := json.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var p corev1.Pod
		if json.Unmarshal(text, &p) != nil {
			return
		}
		if _, waits, _ := observe(&p); strings.Contains(waits, "\n") {
			t.Errorf("it waits for %q", waits)
		}
		w := &Worker{clients: make(map[string]*pod.Client)}
		defer w.Close()
		if c, err := w.container(&p); err == nil && c.pod != p.Name {
			t.Errorf("the container is of the pod %q", c.pod)
		}
	})
}

// Whatever the API server refuses a request with, there is an error to show.
func FuzzRefusal(f *testing.F) {
	f.Add(http.StatusForbidden, []byte(`{"kind":"Status","status":"Failure","reason":"Forbidden","message":"exceeded quota: a"}`))
	f.Add(http.StatusConflict, []byte(`{"kind":"Status","code":409,"details":{"causes":[{"message":"x"}]}}`))
	f.Add(0, []byte(`null`))
	f.Fuzz(func(t *testing.T, code int, text []byte) {
		var status metav1.Status
		if json.Unmarshal(text, &status) != nil {
			return
		}
		err := &apierrors.StatusError{ErrStatus: status}
		_ = passes(err)
		if explainRequest(err) == nil || strings.Contains(new(Worker).explainCreate(err).Error(), "\n") {
			t.Errorf("%+v is no error of one line", status)
		}
	})
}

// A kubeconfig that is read gives a way to a cluster and a namespace, or an error.
func FuzzKubeconfig(f *testing.F) {
	f.Add([]byte("apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'https://h'}}]\ncontexts: [{name: x, context: {cluster: c}}]\ncurrent-context: x\n"))
	f.Add([]byte("current-context: x\n"))
	f.Add([]byte("clusters: {}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "kubeconfig")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		config, namespace, err := clusterConfig(path)
		if err == nil && (config == nil || config.Host == "" || namespace == "") {
			t.Errorf("it gave %+v and the namespace %q", config, namespace)
		}
	})
}
