package kubernetes

import (
	"errors"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"midge/agent/pod"
	"midge/runtime"
)

// Where nodes keep a cache they keep midge-agent there as well, put there by the init
// containers of pods that land on them. A pod whose container needs nothing else of an
// init container then has none, which is a good part of what midge adds to a pod: its
// container begins with the node's program, which it cannot write.
//
// Which node a pod lands on the scheduler says. On one that has no program the container
// does not start, and the pod is made again with the init container; nothing has run in it.

const (
	programVolume = "midge-program"
	programMount  = "/midge-program" // where the task's container has it
	keptProgram   = programMount + "/midge-agent"
	// reportFile is where the init container says how putting the program there went: the
	// kubelet hands that on.
	reportFile = corev1.TerminationMessagePathDefault
	// lackPatience is how long all pods have the init container after one was without the
	// program, or a node could not keep it: so that the pods that follow bring it where it
	// lacks, and do not all find that out by themselves.
	lackPatience = 5 * time.Minute
)

// errNoProgram tells that a pod cannot begin with its node's program.
var errNoProgram = errors.New("the pod's node does not have midge-agent")

// keptPrograms knows what programs nodes keep. Its zero value knows of none.
type keptPrograms struct {
	mu     sync.Mutex
	digest string    // the last that was put on a node, "" before
	lacked time.Time // when a pod was without it last
}

// current gives the digest of the program that nodes are to have, "" when pods are not to
// count on it.
func (k *keptPrograms) current(now time.Time) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now.Sub(k.lacked) < lackPatience {
		return ""
	}
	return k.digest
}

// lack notes that a pod was without the program, or a node could not keep it, and tells
// whether that is news.
func (k *keptPrograms) lack(now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	news := now.Sub(k.lacked) >= lackPatience
	k.lacked = now
	return news
}

// put notes that a node was given the program.
func (k *keptPrograms) put(digest string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.digest = digest
}

// keepsProgram tells whether a container's pod may begin with the node's program. One that
// is privileged could change what others begin with. Volumes are the init container's to
// make, but for a working directory's parent.
func (w *Worker) keepsProgram(spec runtime.ContainerSpec, volumes []volume) bool {
	return w.options.Cache == CacheNode && !spec.Privileged &&
		!slices.ContainsFunc(volumes, func(v volume) bool { return !v.isParent() })
}

// keepProgram has a pod's init container put the program on its node.
func (w *Worker) keepProgram(p *corev1.Pod) {
	w.addCache(p)
	bring := &p.Spec.InitContainers[0]
	bring.Command = append(bring.Command, cachePath, reportFile)
	bring.VolumeMounts = slices.Concat(bring.VolumeMounts, []corev1.VolumeMount{cacheMount})
	bring.SecurityContext = ofNodes()
}

// withKeptProgram gives a pod that begins with its node's program, when nodes have one;
// otherwise the pod itself, whose init container brings it.
func (w *Worker) withKeptProgram(p *corev1.Pod) *corev1.Pod {
	brings := slices.IndexFunc(p.Spec.InitContainers, bringsProgram)
	cache := slices.IndexFunc(p.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == cacheVolumeName })
	digest := w.kept.current(time.Now())
	// A template may have it be no directory of the node's, or the task be who could change it.
	if brings < 0 || cache < 0 || p.Spec.Volumes[cache].HostPath == nil || digest == "" || hasPrivileges(findContainer(p, taskContainer)) {
		return p
	}
	p = p.DeepCopy()
	p.Spec.InitContainers = slices.Delete(p.Spec.InitContainers, brings, brings+1)
	p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{
		Name: programVolume,
		VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{
			Path: path.Join(p.Spec.Volumes[cache].HostPath.Path, pod.ProgramDir(digest)),
			Type: new(corev1.HostPathDirectoryOrCreate),
		}},
	})
	task := findContainer(p, taskContainer)
	task.Command[0] = keptProgram
	task.VolumeMounts = append(task.VolumeMounts, corev1.VolumeMount{Name: programVolume, MountPath: programMount, ReadOnly: true})
	return p
}

// hasPrivileges tells whether a container has what others have not, by which it might write
// to what it is given to read.
func hasPrivileges(c *corev1.Container) bool {
	security := c.SecurityContext
	return security != nil && (security.Privileged != nil && *security.Privileged ||
		security.Capabilities != nil && len(security.Capabilities.Add) > 0)
}

// bringsProgram tells whether it is an init container that puts the program on its node.
func bringsProgram(c corev1.Container) bool {
	return c.Name == agentContainer && slices.Contains(c.Command, reportFile)
}

// learnProgram notes what the init container of a pod has said of its node.
func (w *Worker) learnProgram(p *corev1.Pod) {
	if !slices.ContainsFunc(p.Spec.InitContainers, bringsProgram) {
		return
	}
	for _, status := range p.Status.InitContainerStatuses {
		if status.Name != agentContainer || status.State.Terminated == nil {
			continue
		}
		if report := status.State.Terminated.Message; isDigest(report) {
			w.kept.put(report)
		} else if w.kept.lack(time.Now()) {
			w.options.Log.Warn("a node does not keep midge-agent: each pod there has an init container that brings it",
				"worker", w.Name(), "node", p.Spec.NodeName, "error", oneLine(report))
		}
	}
}

var isDigest = regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString

// lacksProgram tells whether a pod's container cannot be started because its node does not
// have the program, or cannot execute it there.
func lacksProgram(p *corev1.Pod) bool {
	if programOf(p) != keptProgram {
		return false
	}
	for _, status := range p.Status.ContainerStatuses {
		if status.Name != taskContainer {
			continue
		}
		waiting, terminated := status.State.Waiting, status.State.Terminated
		if waiting != nil && strings.Contains(waiting.Message, keptProgram) || terminated != nil && strings.Contains(terminated.Message, keptProgram) {
			return true
		}
	}
	return false
}

// programOf gives the path of midge-agent in the task's container of a pod.
func programOf(p *corev1.Pod) string {
	if task := findContainer(p, taskContainer); task != nil && len(task.Command) > 0 {
		return task.Command[0]
	}
	return pod.Program
}

// findContainer gives the container of that name, nil when there is none.
func findContainer(p *corev1.Pod, name string) *corev1.Container {
	for i := range p.Spec.Containers {
		if p.Spec.Containers[i].Name == name {
			return &p.Spec.Containers[i]
		}
	}
	return nil
}
