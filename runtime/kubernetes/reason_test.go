package kubernetes

import (
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
			at: phaseInitializing, err: "image midge-agent:9, which the server's agent-image names, cannot be pulled: manifest unknown", spec: true,
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
		"agent image without midge-agent": {
			pod: scheduled(func(p *corev1.Pod) {
				p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: agentContainer, Image: "busybox:1", State: corev1.ContainerState{
					Terminated: &corev1.ContainerStateTerminated{ExitCode: 128, Message: "stat /midge-agent: no such file or directory"}}}}
			}),
			at: phaseInitializing, spec: true,
			err: "container midge-agent, of the image busybox:1, which the server's agent-image names, could not be started: stat /midge-agent: no such file or directory",
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

// Another pod may fare better in place of one that nothing has run in yet, and that the
// cluster itself has ended.
func TestPodErrorThatPasses(t *testing.T) {
	disrupted := []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "PreemptionByScheduler"}}
	begun := []corev1.ContainerStatus{{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
	for name, test := range map[string]struct {
		change func(*corev1.Pod)
		want   bool
	}{
		"turned away":         {func(p *corev1.Pod) { p.Status.Phase, p.Status.Reason = corev1.PodFailed, "OutOfpods" }, true},
		"no space on a disk":  {func(p *corev1.Pod) { p.Status.Phase, p.Status.Reason = corev1.PodFailed, "Evicted" }, true},
		"preempted":           {func(p *corev1.Pod) { p.DeletionTimestamp, p.Status.Conditions = new(metav1.Now()), disrupted }, true},
		"deleted by somebody": {func(p *corev1.Pod) { p.DeletionTimestamp = new(metav1.Now()) }, false},
		"too old":             {func(p *corev1.Pod) { p.Status.Phase, p.Status.Reason = corev1.PodFailed, "DeadlineExceeded" }, false},
		"without a reason":    {func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }, false},
		"begun": {func(p *corev1.Pod) {
			p.Status.Phase, p.Status.Reason, p.Status.InitContainerStatuses = corev1.PodFailed, "Evicted", begun
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			e := (*PodError)(nil)
			if err := ended(scheduled(test.change)); !errors.As(err, &e) || e.passes != test.want {
				t.Errorf("it gave %v, which passes: %v", err, e != nil && e.passes)
			}
		})
	}
}
