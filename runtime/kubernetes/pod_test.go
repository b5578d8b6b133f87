//go:build cluster

package kubernetes_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
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

// newSpec gives the spec of a container like most in the tests.
func newSpec(handle string) runtime.ContainerSpec {
	return runtime.ContainerSpec{Handle: handle, Dir: "/tmp/build", Image: busybox}
}

// newContainer makes a container that goes with the test.
func newContainer(t *testing.T, worker *kubernetes.Worker, spec runtime.ContainerSpec) runtime.Container {
	t.Helper()
	container, err := worker.FindOrCreateContainer(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := container.Destroy(ctx); err != nil {
			t.Error(err)
		}
	})
	return container
}

// begin starts a shell script as a process.
func begin(t *testing.T, container runtime.Container, id, script string) runtime.Process {
	t.Helper()
	process, err := container.Run(t.Context(), runtime.ProcessSpec{ID: id, Path: "/bin/sh", Args: []string{"-c", script}, Stdin: true})
	if err != nil {
		t.Fatal(err)
	}
	return process
}

// output gives all that a process writes, on both streams.
func output(t *testing.T, process runtime.Process) string {
	t.Helper()
	reader, err := process.Output(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var all strings.Builder
	for {
		chunk, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return all.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		if chunk.Sequence != int64(all.Len()) {
			t.Fatalf("a chunk is numbered %d after %d bytes", chunk.Sequence, all.Len())
		}
		all.Write(chunk.Data)
	}
}

// await reads a process's output until it has the text.
func await(t *testing.T, process runtime.Process, text string) {
	t.Helper()
	reader, err := process.Output(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var all strings.Builder
	for !strings.Contains(all.String(), text) {
		chunk, err := reader.Next()
		if err != nil {
			t.Fatalf("%v after %q", err, all.String())
		}
		all.Write(chunk.Data)
	}
}

// podOf gives the pod of a container.
func podOf(t *testing.T, options kubernetes.Options, handle string) *corev1.Pod {
	t.Helper()
	pods, err := admin(t).Pods(options.Namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pods.Items {
		if p.Annotations["midge/handle"] == handle && p.DeletionTimestamp == nil {
			return &p
		}
	}
	t.Fatalf("no pod of %s", handle)
	return nil
}

// A wish for more than there is waits, and says for what in the scheduler's words.
func TestUnschedulable(t *testing.T) {
	t.Parallel()
	options := newOptions(t)
	options.StartTimeout = 3 * time.Second
	worker := newWorker(t, options)
	spec := newSpec("unschedulable")
	spec.Limits.Memory = 1 << 50
	var mu sync.Mutex
	var said []string
	spec.Progress = func(line string) {
		mu.Lock()
		defer mu.Unlock()
		said = append(said, line)
	}
	_, err := worker.FindOrCreateContainer(t.Context(), spec)
	if err == nil || !strings.Contains(err.Error(), "Insufficient memory") || !strings.Contains(err.Error(), "did not start within 3s") {
		t.Errorf("it gave %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.ContainsFunc(said, func(line string) bool { return strings.Contains(line, "no node takes the pod yet") }) {
		t.Errorf("it said %q", said)
	}
}

// newRegistry serves a registry without images on this machine.
func newRegistry(t *testing.T) (host string) {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// An image that is nowhere is an error at once, with credentials or without, and the
// secret with these does not stay.
func TestImageThatDoesNotExist(t *testing.T) {
	t.Parallel()
	host := newRegistry(t)
	worker := newWorker(t, newOptions(t))
	for _, source := range []map[string]any{
		{"repository": host + "/missing", "tag": "1"},
		{"repository": host + "/missing", "tag": "2", "username": "ann", "password": "secret"},
	} {
		spec := newSpec("missing")
		spec.Image = runtime.ImageSpec{Registry: &runtime.RegistryImage{Type: "registry-image", Source: source}}
		_, err := worker.FindOrCreateContainer(t.Context(), spec)
		if refused := (*runtime.SpecError)(nil); !errors.As(err, &refused) || !strings.Contains(err.Error(), host+"/missing") {
			t.Errorf("it gave %v (%T)", err, err)
		}
	}
}

func TestImagesOfThisMachine(t *testing.T) {
	t.Parallel()
	options := newOptions(t)
	worker := newWorker(t, options)
	for _, image := range []runtime.ImageSpec{{Host: true}, {RootfsURI: "raw:///srv/image"}} {
		spec := newSpec("host")
		spec.Image = image
		_, err := worker.FindOrCreateContainer(t.Context(), spec)
		if refused := (*runtime.SpecError)(nil); !errors.As(err, &refused) || !strings.Contains(err.Error(), "image_resource") {
			t.Errorf("%+v gave %v", image, err)
		}
	}
	options.DefaultImage = "busybox:test"
	spec := newSpec("default")
	spec.Image = runtime.ImageSpec{Host: true}
	container := newContainer(t, newWorker(t, options), spec)
	if got := output(t, begin(t, container, "task", "echo text")); got != "text\n" {
		t.Errorf("the output is %q", got)
	}
}

func TestTemplateThatIsNone(t *testing.T) {
	t.Parallel()
	options := newOptions(t)
	options.PodTemplate = []byte("spec: {nodeSelectors: {a: b}}")
	if _, err := kubernetes.New(t.Context(), options); err == nil || !strings.Contains(err.Error(), "nodeSelectors") {
		t.Errorf("it gave %v", err)
	}
}

// The pods that wait are the worker's to tell of, with why, and a secret to pull an
// image with goes with its pod.
func TestPendingPods(t *testing.T) {
	t.Parallel()
	options := newOptions(t)
	worker := newWorker(t, options)
	spec := newSpec("pending")
	spec.Limits.Memory = 1 << 50 // no node takes it
	spec.Image = runtime.ImageSpec{Registry: &runtime.RegistryImage{Type: "registry-image",
		Source: map[string]any{"repository": "busybox", "tag": "test", "username": "ann", "password": "secret"}}}
	waiting := make(chan struct{})
	var once sync.Once
	spec.Progress = func(string) { once.Do(func() { close(waiting) }) }
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := worker.FindOrCreateContainer(ctx, spec)
		ended <- err
	}()
	<-waiting
	info, err := worker.Info(t.Context())
	if err != nil || info.Pending != 1 || len(info.Waits) != 1 || !strings.Contains(info.Waits[0], "Insufficient memory") {
		t.Errorf("Info gave %+v, %v", info, err)
	}
	p := podOf(t, options, "pending")
	secret, err := admin(t).Secrets(options.Namespace).Get(t.Context(), p.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if owners := secret.OwnerReferences; len(owners) != 1 || owners[0].UID != p.UID {
		t.Errorf("the secret's owners are %+v", owners)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it gave %v", err)
	}
}

// A task that fills more of the node's disk than it may is evicted, and that is said.
func TestEphemeralStorage(t *testing.T) {
	t.Parallel()
	spec := newSpec("storage")
	spec.Limits.Disk = 8 << 20
	container := newContainer(t, newWorker(t, newOptions(t)), spec)
	process := begin(t, container, "task", "dd if=/dev/zero of=/tmp/fill bs=1M count=32 && read line")
	_, err := process.Wait(t.Context())
	if err == nil || !strings.Contains(err.Error(), "evicted it") || !strings.Contains(err.Error(), "ephemeral") {
		t.Errorf("Wait gave %v", err)
	}
}

// What an API server cannot do now is done when it can.
func TestApiServerThatIsBusy(t *testing.T) {
	t.Parallel()
	options := newOptions(t)
	f := newFront(t, "")
	options.Kubeconfig = f.kubeconfig
	worker := newWorker(t, options)
	var said []string
	spec := newSpec("busy")
	spec.Progress = func(line string) { said = append(said, line) }
	f.answer(http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable)
	container := newContainer(t, worker, spec)
	if got := output(t, begin(t, container, "task", "echo text")); got != "text\n" {
		t.Errorf("the output is %q", got)
	}
	if !slices.ContainsFunc(said, func(line string) bool { return strings.Contains(line, "the cluster takes no pod yet") }) {
		t.Errorf("it said %q", said)
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

// A pod that is deleted by hand while its task runs ends that with a sentence.
func TestDeletedByHand(t *testing.T) {
	t.Parallel()
	options := newOptions(t)
	worker := newWorker(t, options)
	container := newContainer(t, worker, newSpec("deleted"))
	process := begin(t, container, "task", "echo begun; sleep 100000")
	await(t, process, "begun")
	p := podOf(t, options, "deleted")
	if err := admin(t).Pods(p.Namespace).Delete(t.Context(), p.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := process.Wait(t.Context())
	if missing := (*runtime.NotFoundError)(nil); !errors.As(err, &missing) || !strings.Contains(err.Error(), "pod "+p.Name+" was deleted") {
		t.Errorf("Wait gave %v", err)
	}
	if _, err := worker.LookupContainer(t.Context(), "deleted"); err == nil {
		t.Error("the container is still there")
	}
}

// One that is deleted while it starts is an error of that.
func TestDeletedWhileItStarts(t *testing.T) {
	t.Parallel()
	options := newOptions(t)
	worker := newWorker(t, options)
	spec := newSpec("starting")
	spec.Limits.Memory = 1 << 50 // no node takes it
	waiting := make(chan struct{})
	var once sync.Once
	spec.Progress = func(string) { once.Do(func() { close(waiting) }) }
	ended := make(chan error)
	go func() {
		_, err := worker.FindOrCreateContainer(t.Context(), spec)
		ended <- err
	}()
	<-waiting
	p := podOf(t, options, "starting")
	if err := admin(t).Pods(p.Namespace).Delete(t.Context(), p.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "was deleted") {
		t.Errorf("it gave %v", err)
	}
}

// A task that kills all it can see ends nothing but itself.
func TestTaskThatKillsEverything(t *testing.T) {
	t.Parallel()
	container := newContainer(t, newWorker(t, newOptions(t)), newSpec("killer"))
	process := begin(t, container, "task", "echo begun; kill -9 1; kill -TERM 1; kill -9 -1; echo survived; exit 3")
	status, err := process.Wait(t.Context())
	if err != nil || status.Code != 3 {
		t.Errorf("it ended with %+v, %v", status, err)
	}
	if got := output(t, process); got != "begun\nsurvived\n" {
		t.Errorf("the output is %q", got)
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
	waiting := make(chan string, 100)
	spec := newSpec("quota")
	spec.Progress = func(line string) { waiting <- line }
	made := make(chan error)
	go func() {
		container, err := worker.FindOrCreateContainer(t.Context(), spec)
		if err == nil {
			err = container.Destroy(t.Context())
		}
		made <- err
	}()
	select {
	case line := <-waiting:
		if !strings.Contains(line, "exceeded quota: pods") && !strings.Contains(line, "quota") {
			t.Errorf("it waits for %q", line)
		}
	case err := <-made:
		t.Fatalf("it did not wait: %v", err)
	}
	if err := client.ResourceQuotas(options.Namespace).Delete(t.Context(), "pods", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := <-made; err != nil {
		t.Error(err)
	}
}

// In a namespace that enforces it, pods of the profile run, and do what tasks do, and
// others are refused.
func TestPodSecurityRestricted(t *testing.T) {
	t.Parallel()
	options := newOptions(t)
	options.Namespace = newNamespace(t, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	_, err := newWorker(t, options).FindOrCreateContainer(t.Context(), newSpec("baseline"))
	if refused := (*runtime.SpecError)(nil); !errors.As(err, &refused) || !strings.Contains(err.Error(), "violates PodSecurity") {
		t.Errorf("a pod of another profile gave %v", err)
	}
	options.Security = kubernetes.SecurityRestricted
	worker := newWorker(t, options)
	volume, err := worker.CreateVolume(t.Context(), "input")
	if err != nil {
		t.Fatal(err)
	}
	defer volume.Destroy(context.Background())
	spec := newSpec("restricted")
	spec.Inputs = []runtime.Input{{Artifact: volume, Path: "in"}}
	spec.Outputs = []runtime.Output{{Path: "out"}, {Path: "/elsewhere/out"}}
	spec.Caches = []runtime.Cache{{Key: "key", Path: "cache"}}
	container := newContainer(t, worker, spec)
	process := begin(t, container, "task",
		`id -u; echo own > file; for dir in in out /elsewhere/out cache; do echo text > $dir/file && cat $dir/file; done; ls /var/run/secrets 2>&1`)
	if got := output(t, process); !strings.HasPrefix(got, "1000\ntext\ntext\ntext\ntext\n") || strings.Contains(got, "serviceaccount") {
		t.Errorf("the output is %q", got)
	}
	if err := container.KeepCaches(t.Context()); err != nil {
		t.Error(err)
	}
	if n, err := worker.ClearCaches(t.Context(), ""); err != nil || n != 1 {
		t.Errorf("%d caches were cleared, %v", n, err)
	}
	_, err = container.Run(t.Context(), runtime.ProcessSpec{ID: "root", Path: "id", User: "root"})
	if refused := (*runtime.SpecError)(nil); !errors.As(err, &refused) || !strings.Contains(err.Error(), "user 1000") {
		t.Errorf("another user gave %v", err)
	}
	terminal, err := container.Run(t.Context(), runtime.ProcessSpec{ID: "terminal", Path: "sh", Args: []string{"-c", "tty; stty size"}, TTY: &runtime.WindowSize{Columns: 80, Rows: 24}})
	if err != nil {
		t.Fatal(err)
	}
	if got := output(t, terminal); !strings.Contains(got, "/dev/pts/") || !strings.Contains(got, "24 80") {
		t.Errorf("a terminal gave %q", got)
	}
}

func TestPrivileged(t *testing.T) {
	t.Parallel()
	options := newOptions(t)
	options.Security = kubernetes.SecurityRestricted
	spec := newSpec("privileged")
	spec.Privileged = true
	container := newContainer(t, newWorker(t, options), spec)
	process, err := container.Run(t.Context(), runtime.ProcessSpec{ID: "task", Path: "sh", Args: []string{"-c", "id -u; mount -t tmpfs none /mnt || mkdir /mnt && mount -t tmpfs none /mnt && echo mounted"}, Privileged: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := output(t, process); !strings.Contains(got, "0\n") || !strings.Contains(got, "mounted") {
		t.Errorf("the output is %q", got)
	}
}

// Nothing is lost and nothing comes twice when what lies between the server and the
// pod goes and comes back.
func TestOutputOutlivesTheCluster(t *testing.T) {
	options := newOptions(t)
	worker := newWorker(t, options)
	container := newContainer(t, worker, newSpec("outlives"))
	process := begin(t, container, "task", `i=0; while read -r line; do i=$((i+1)); echo "$i $line"; done; exit 4`)
	got := make(chan string)
	go func() { got <- output(t, process) }()
	written, want := int64(0), ""
	write := func(line string) {
		n, err := process.Write(t.Context(), written, []byte(line+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		written = n
	}
	write("before")
	await(t, process, "1 before")
	for i, name := range []string{"kube-apiserver", "kubelet", "containerd"} {
		if err := node.Restart(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		write("after " + name)
		await(t, process, string(rune('2'+i))+" after "+name)
	}
	if err := node.Signal("kube-apiserver", syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	hanging := time.AfterFunc(time.Second, func() {
		if err := node.Signal("kube-apiserver", syscall.SIGCONT); err != nil {
			t.Error(err)
		}
	})
	defer hanging.Stop()
	write("after a pause")
	if err := process.CloseStdin(t.Context()); err != nil {
		t.Fatal(err)
	}
	status, err := process.Wait(t.Context())
	if err != nil || status.Code != 4 {
		t.Errorf("it ended with %+v, %v", status, err)
	}
	want = "1 before\n2 after kube-apiserver\n3 after kubelet\n4 after containerd\n5 after a pause\n"
	if all := <-got; all != want {
		t.Errorf("the output is %q, want %q", all, want)
	}
}
