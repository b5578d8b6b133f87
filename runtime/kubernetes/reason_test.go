package kubernetes

import (
	"errors"
	"net/url"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"midge/runtime"
)

// scheduled gives a pod that has a node, changed.
func scheduled(change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "midge-1", Annotations: map[string]string{annotationContainer: "b1-task"}},
		Spec:       corev1.PodSpec{NodeName: "node-7"},
		Status: corev1.PodStatus{
			Phase:      corev1.PodPending,
			Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}},
		},
	}
	change(p)
	return p
}

// initialized gives one whose init container has done its work, and whose own is in a state.
func initialized(state corev1.ContainerState) *corev1.Pod {
	return scheduled(func(p *corev1.Pod) {
		p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: agentContainer, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}}}
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: taskContainer, Image: "registry.example.com/app:1", State: state}}
	})
}

func waiting(reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}

func TestObserve(t *testing.T) {
	for name, test := range map[string]struct {
		pod   *corev1.Pod
		at    phase
		waits string
		err   string
		spec  bool // it is an error of who asked
	}{
		"unscheduled": {
			pod: scheduled(func(p *corev1.Pod) { p.Status.Conditions = nil }),
			at:  phaseScheduling,
		},
		"unschedulable": {
			pod: scheduled(func(p *corev1.Pod) {
				p.Status.Conditions[0] = corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable",
					Message: "0/3 nodes are available: 3 Insufficient memory."}
			}),
			at:    phaseScheduling,
			waits: "no node takes the pod yet: 0/3 nodes are available: 3 Insufficient memory",
		},
		"no status yet": {pod: scheduled(func(*corev1.Pod) {}), at: phaseInitializing},
		"agent image missing": {
			pod: scheduled(func(p *corev1.Pod) {
				p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: agentContainer, Image: "midge-agent:9", State: waiting("ErrImagePull", "manifest unknown")}}
			}),
			at: phaseInitializing, err: "image midge-agent:9 cannot be pulled: manifest unknown", spec: true,
		},
		"pulling":  {pod: initialized(waiting("PodInitializing", "")), at: phaseStarting},
		"starting": {pod: initialized(waiting("ContainerCreating", "")), at: phaseStarting},
		"pull that may succeed": {
			pod: initialized(waiting("ImagePullBackOff", `Back-off pulling image: dial tcp: i/o timeout`)), at: phasePulling,
			waits: "image registry.example.com/app:1 cannot be pulled: Back-off pulling image: dial tcp: i/o timeout",
		},
		"image that is not there": {
			pod: initialized(waiting("ErrImagePull", "failed to resolve\nreference: registry.example.com/app:1: not found")), at: phasePulling,
			err: "image registry.example.com/app:1 cannot be pulled: failed to resolve reference: registry.example.com/app:1: not found", spec: true,
		},
		"image of another architecture": {
			pod: initialized(waiting("ErrImagePull", "no match for platform in manifest")), at: phasePulling,
			err: "image registry.example.com/app:1 cannot be pulled: no match for platform in manifest", spec: true,
		},
		"image that is root's": {
			pod: initialized(waiting("CreateContainerConfigError", "container has runAsNonRoot and image will run as root")), at: phaseStarting,
			err: "image registry.example.com/app:1 cannot be run by who is not root: container has runAsNonRoot and image will run as root", spec: true,
		},
		"a node that is busy": {
			pod: initialized(waiting("CreateContainerError", "context deadline exceeded")), at: phaseStarting,
			waits: "container task cannot be started yet: context deadline exceeded",
		},
		"a node that is still at it": {
			pod: initialized(waiting("CreateContainerError", `failed to reserve container name "task": name "task" is reserved for "a1"`)), at: phaseStarting,
			waits: `container task cannot be started yet: failed to reserve container name "task": name "task" is reserved for "a1"`,
		},
		"a mount over a file": {
			pod: initialized(waiting("RunContainerError", "mount: not a directory")), at: phaseStarting,
			err: "container task cannot be started: mount: not a directory", spec: true,
		},
		"running": {pod: initialized(corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}), at: phaseRunning},
		"deleted": {
			pod: scheduled(func(p *corev1.Pod) { p.DeletionTimestamp = new(metav1.Now()) }),
			err: "pod midge-1 was deleted",
		},
		"drained": {
			pod: scheduled(func(p *corev1.Pod) {
				p.DeletionTimestamp = new(metav1.Now())
				p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
					Reason: "EvictionByEvictionAPI", Message: "Eviction API: evicting"})
			}),
			err: "pod midge-1 was deleted: Eviction API: evicting",
		},
		"evicted": {
			pod: scheduled(func(p *corev1.Pod) {
				p.Status.Phase, p.Status.Reason = corev1.PodFailed, "Evicted"
				p.Status.Message = "The node was low on resource: ephemeral-storage. "
			}),
			err: "pod midge-1 has ended: its node node-7 evicted it: The node was low on resource: ephemeral-storage",
		},
		"too old": {
			pod: scheduled(func(p *corev1.Pod) { p.Status.Phase, p.Status.Reason = corev1.PodFailed, "DeadlineExceeded" }),
			err: "pod midge-1 has ended: it was there for longer than a pod of this worker may be",
		},
		"killed for memory": {
			pod: scheduled(func(p *corev1.Pod) {
				p.Status.Phase = corev1.PodFailed
				p.Spec.Containers = []corev1.Container{{Name: taskContainer, Resources: resources(runtime.Limits{Memory: 64 << 20})}}
				p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: taskContainer, State: corev1.ContainerState{
					Terminated: &corev1.ContainerStateTerminated{Reason: "OOMKilled", ExitCode: 137}}}}
			}),
			err: "pod midge-1 has ended: its container was killed for memory, of which it may have 64Mi",
		},
	} {
		t.Run(name, func(t *testing.T) {
			at, waits, err := observe(test.pod)
			text := ""
			if err != nil {
				text = err.Error()
			}
			if at != test.at || waits != test.waits || text != test.err {
				t.Errorf("observe gave %q, %q, %q; want %q, %q, %q", at, waits, text, test.at, test.waits, test.err)
			}
			if refused := (*runtime.SpecError)(nil); errors.As(err, &refused) != test.spec {
				t.Errorf("the error is a %T", err)
			}
		})
	}
}

// A container whose pod is no more is not there; one whose pod has ended still is.
func TestPodErrorIsNotFound(t *testing.T) {
	missing := (*runtime.NotFoundError)(nil)
	if err := ended(scheduled(func(p *corev1.Pod) { p.DeletionTimestamp = new(metav1.Now()) })); !errors.As(err, &missing) || missing.Name != "b1-task" {
		t.Errorf("a pod that was deleted gave %v", err)
	}
	if err := ended(scheduled(func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed })); err == nil || errors.As(err, &missing) {
		t.Errorf("a pod that has ended gave %v", err)
	}
}

func TestPasses(t *testing.T) {
	pods := schema.GroupResource{Resource: "pods"}
	for name, test := range map[string]struct {
		err  error
		want bool
	}{
		"quota":              {apierrors.NewForbidden(pods, "p", errors.New("exceeded quota: compute, requested: pods=1, used: pods=5, limited: pods=5")), true},
		"no right":           {apierrors.NewForbidden(pods, "p", errors.New(`User "x" cannot create resource "pods"`)), false},
		"pod security":       {apierrors.NewForbidden(pods, "p", errors.New(`violates PodSecurity "restricted:latest"`)), false},
		"invalid":            {apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, "p", nil), false},
		"too many requests":  {apierrors.NewTooManyRequests("slow down", 1), true},
		"internal":           {apierrors.NewInternalError(errors.New("etcd is away")), true},
		"webhook away":       {apierrors.NewInternalError(errors.New(`failed calling webhook "x": connection refused`)), true},
		"connection refused": {&url.Error{Op: "Post", URL: "https://127.0.0.1", Err: syscall.ECONNREFUSED}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := passes(test.err); got != test.want {
				t.Errorf("passes(%v) is %v", test.err, got)
			}
		})
	}
}

func TestCheckTemplate(t *testing.T) {
	for name, test := range map[string]struct{ template, err string }{
		"none":             {"", ""},
		"good":             {"spec: {nodeSelector: {disk: ssd}, containers: [{name: task, resources: {limits: {cpu: 2}}}]}", ""},
		"no YAML":          {"spec: [", "the pod template is not one"},
		"another kind":     {"kind: Deployment\nspec: {}", "its kind is Deployment"},
		"unknown field":    {"spec: {nodeSelectors: {}}", `unknown field "nodeSelectors"`},
		"a list":           {"- a", "the pod template is not one"},
		"command":          {"spec: {containers: [{name: task, command: [sh]}]}", "may not say what the container task runs"},
		"restarts":         {"spec: {restartPolicy: Always}", "restart policy Always"},
		"shared processes": {"spec: {shareProcessNamespace: true}", "share the process namespace"},
	} {
		t.Run(name, func(t *testing.T) {
			err := checkTemplate([]byte(test.template))
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("checkTemplate gave %v, want %q", err, test.err)
			}
		})
	}
}

func TestWithTemplate(t *testing.T) {
	w := &Worker{options: Options{Name: "cluster", Namespace: "midge", AgentImage: "agent", Security: SecurityRestricted}}
	spec := runtime.ContainerSpec{Handle: "b1-task", Dir: "/tmp/build", Limits: runtime.Limits{Memory: 1 << 20, CPUShares: 512}}
	p, err := w.newPod(spec, "midge-1", "busybox", nil)
	if err != nil {
		t.Fatal(err)
	}
	merged, err := withTemplate(p, []byte(`
metadata: {name: other, labels: {team: a, midge/worker: stolen}}
spec:
  nodeSelector: {disk: ssd}
  tolerations: [{key: builds, operator: Exists}]
  containers:
  - {name: task, resources: {limits: {cpu: "2"}}, env: [{name: PROXY, value: p}]}
  - {name: sidecar, image: side}
`))
	if err != nil {
		t.Fatal(err)
	}
	if merged.Name != "midge-1" || merged.Labels["team"] != "a" || merged.Labels[labelWorker] != "cluster" {
		t.Errorf("the pod's names became %+v", merged.ObjectMeta)
	}
	if merged.Spec.NodeSelector["disk"] != "ssd" || len(merged.Spec.Tolerations) != 1 || len(merged.Spec.Containers) != 2 {
		t.Errorf("the template is not merged: %+v", merged.Spec)
	}
	task := merged.Spec.Containers[0]
	if task.Name != taskContainer {
		task = merged.Spec.Containers[1]
	}
	if task.Image != "busybox" || len(task.Command) == 0 || task.Resources.Limits.Cpu().String() != "2" || task.Resources.Limits.Memory().Value() != 1<<20 ||
		task.Resources.Requests.Cpu().MilliValue() != 500 {
		t.Errorf("the task's container became %+v", task)
	}
}

func TestRegistryImage(t *testing.T) {
	const sum = "sha256:0123456789012345678901234567890123456789012345678901234567890123"
	for name, test := range map[string]struct {
		resource       runtime.RegistryImage
		reference, err string
		registry       string
	}{
		"tag":        {runtime.RegistryImage{Type: "registry-image", Source: map[string]any{"repository": "busybox", "tag": "1.36"}}, "busybox:1.36", "", "https://index.docker.io/v1/"},
		"number":     {runtime.RegistryImage{Type: "registry-image", Source: map[string]any{"repository": "alpine", "tag": 3.2}}, "alpine:3.2", "", "https://index.docker.io/v1/"},
		"no tag":     {runtime.RegistryImage{Type: "docker-image", Source: map[string]any{"repository": "ghcr.io/a/b"}}, "ghcr.io/a/b", "", "ghcr.io"},
		"port":       {runtime.RegistryImage{Type: "registry-image", Source: map[string]any{"repository": "localhost:5000/a"}}, "localhost:5000/a", "", "localhost:5000"},
		"digest":     {runtime.RegistryImage{Type: "registry-image", Source: map[string]any{"repository": "a", "tag": "b"}, Version: map[string]string{"digest": sum}}, "a:b@" + sum, "", "https://index.docker.io/v1/"},
		"type":       {runtime.RegistryImage{Type: "git", Source: map[string]any{"repository": "a"}}, "", `type "git" is not supported`, ""},
		"repository": {runtime.RegistryImage{Type: "registry-image"}, "", "source.repository is missing", ""},
		"mistyped":   {runtime.RegistryImage{Type: "registry-image", Source: map[string]any{"repository": 7}}, "", "source.repository has the wrong type", ""},
	} {
		t.Run(name, func(t *testing.T) {
			img, err := registryImage(&test.resource)
			if test.err != "" {
				if refused := (*runtime.SpecError)(nil); !errors.As(err, &refused) || !strings.Contains(err.Error(), test.err) {
					t.Errorf("it gave %v, want %q", err, test.err)
				}
				return
			}
			if err != nil || img.reference != test.reference || img.registry() != test.registry {
				t.Errorf("it gave %q of %q, %v", img.reference, img.registry(), err)
			}
		})
	}
}

func TestHostname(t *testing.T) {
	long := strings.Repeat("x", 80)
	for text, want := range map[string]string{"b1-task": "b1-task", "-a-": "a", "My_Host.local": "myhostlocal", long: long[:63], "ü": ""} {
		if got := hostname(text); got != want {
			t.Errorf("hostname(%q) is %q, want %q", text, got, want)
		}
	}
}
