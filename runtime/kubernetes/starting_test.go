//go:build cluster

package kubernetes_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedadmissionv1 "k8s.io/client-go/kubernetes/typed/admissionregistration/v1"
	"k8s.io/client-go/tools/clientcmd"

	"midge/runtime"
	"midge/runtime/kubernetes"
)

// A wish for more than there is waits, and says for what in the scheduler's words.
func TestUnschedulable(t *testing.T) {
	t.Parallel()
	options := newOptions(t)
	options.StartTimeout = 3 * time.Second
	spec := newSpec("unschedulable")
	spec.Limits.Memory = unschedulable
	made := create(t.Context(), newWorker(t, options), spec)
	made.wantSaid(t, "no node takes the pod yet")
	if err := <-made.ended; err == nil || !strings.Contains(err.Error(), "Insufficient memory") || !strings.Contains(err.Error(), "did not start within 3s") {
		t.Errorf("it gave %v", err)
	}
}

// The pods that wait are the worker's to tell of, with why.
func TestPendingPods(t *testing.T) {
	t.Parallel()
	options := newOptions(t)
	worker := newWorker(t, options)
	spec := newSpec("pending")
	spec.Limits.Memory = unschedulable
	ctx, cancel := context.WithCancel(t.Context())
	made := create(ctx, worker, spec)
	made.wantSaid(t, "Insufficient memory")
	info, err := worker.Info(t.Context())
	if err != nil || info.Pending != 1 || len(info.Waits) != 1 || !strings.Contains(info.Waits[0], "Insufficient memory") {
		t.Errorf("Info gave %+v, %v", info, err)
	}
	cancel()
	if err := <-made.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it gave %v", err)
	}
}

// What an admission webhook refuses is refused at once, with what it says.
func TestAdmissionWebhook(t *testing.T) {
	t.Parallel()
	const word = "refused"
	options := newOptions(t)
	options.Namespace = newNamespace(t, map[string]string{"midge-test": word})
	webhook := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			t.Error(err)
			return
		}
		review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Result: &metav1.Status{Message: "no pods on Fridays"}}
		if err := json.NewEncoder(w).Encode(review); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(webhook.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: webhook.Certificate().Raw})
	config, err := clientcmd.BuildConfigFromFlags("", node.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	webhooks := typedadmissionv1.NewForConfigOrDie(config).ValidatingWebhookConfigurations()
	_, err = webhooks.Create(t.Context(), &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: options.Namespace},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name:                    "pods.midge.test",
			ClientConfig:            admissionregistrationv1.WebhookClientConfig{URL: &webhook.URL, CABundle: authority},
			NamespaceSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{"midge-test": word}},
			SideEffects:             new(admissionregistrationv1.SideEffectClassNone),
			AdmissionReviewVersions: []string{"v1"},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			}},
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := webhooks.Delete(context.Background(), options.Namespace, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	worker := newWorker(t, options)
	// The API server does not say when it has heard of the webhook.
	for deadline := time.Now().Add(patience); ; {
		container, err := worker.FindOrCreateContainer(t.Context(), newSpec("webhook"))
		if err == nil {
			if err := container.Destroy(t.Context()); err != nil {
				t.Fatal(err)
			}
			if time.Now().Before(deadline) {
				continue
			}
		}
		if refused := (*runtime.SpecError)(nil); !errors.As(err, &refused) || !strings.Contains(err.Error(), "no pods on Fridays") {
			t.Errorf("it gave %v", err)
		}
		return
	}
}

// A quota that is used up is waited for.
func TestQuota(t *testing.T) {
	t.Parallel()
	options := newOptions(t)
	worker := newWorker(t, options)
	client := admin(t)
	pods := corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}
	quota, err := client.ResourceQuotas(options.Namespace).Create(t.Context(), &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "pods"},
		Spec:       corev1.ResourceQuotaSpec{Hard: pods},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// What a controller would count.
	quota.Status = corev1.ResourceQuotaStatus{Hard: pods, Used: pods}
	if _, err := client.ResourceQuotas(options.Namespace).UpdateStatus(t.Context(), quota, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	made := create(t.Context(), worker, newSpec("quota"))
	made.wantSaid(t, "exceeded quota: pods")
	if err := client.ResourceQuotas(options.Namespace).Delete(t.Context(), "pods", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := <-made.ended; err != nil {
		t.Error(err)
	}
}

// What a cluster would never take is said before anybody asks for it.
func TestWorkerThatTheClusterDoesNotTake(t *testing.T) {
	t.Parallel()
	good := newOptions(t)
	restricted := newNamespace(t, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	for name, test := range map[string]struct {
		change func(*kubernetes.Options)
		err    string
	}{
		"unknown field": {func(o *kubernetes.Options) { o.PodTemplate = []byte("spec: {nodeSelectors: {a: b}}") }, `unknown field "nodeSelectors"`},
		"invalid pod":   {func(o *kubernetes.Options) { o.PodTemplate = []byte("spec: {containers: [{name: side}]}") }, "image: Required value"},
		"invalid tag": {func(o *kubernetes.Options) {
			o.TagTemplates = map[string][]byte{"gpu": []byte("spec: {nodeSelector: {a: -b-}}")}
		}, "the tag gpu: the cluster would take no pod of this worker"},
		"no namespace": {func(o *kubernetes.Options) { o.Namespace = "nowhere" }, "the cluster has no namespace nowhere"},
		"pod security": {func(o *kubernetes.Options) { o.Namespace = restricted }, "violates PodSecurity"},
		"cache of a node": {func(o *kubernetes.Options) {
			o.Namespace, o.Security, o.Cache = restricted, kubernetes.SecurityRestricted, kubernetes.CacheNode
		}, "violates PodSecurity"},
	} {
		t.Run(name, func(t *testing.T) {
			options := good
			options.StateDir = t.TempDir()
			test.change(&options)
			if _, err := kubernetes.New(t.Context(), options); err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("it gave %v, want %q", err, test.err)
			}
		})
	}
}
