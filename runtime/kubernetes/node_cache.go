package kubernetes

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"midge/agent/pod"
	"midge/runtime"
)

// Cache is what keeps the contents of inputs from one pod to the next: CacheNone,
// CacheNode, or the name of a PersistentVolumeClaim of the namespace. Tasks do not
// see it: the init container alone has it, and fills the pod's own directories.
type Cache string

const (
	// CacheNone keeps nothing: each pod is sent all.
	CacheNone Cache = "none"
	// CacheNode keeps it in a directory of each node, which the worker's pods there share.
	// No Pod Security Standard but privileged admits such pods.
	CacheNode Cache = "node"
)

const (
	cacheVolumeName = "midge-cache"
	cachePath       = "/midge-cache"
	objectsPath     = cachePath + "/objects"
)

// check tells what is wrong with a word for a cache.
func (c Cache) check() error {
	if c == CacheNone || c == CacheNode || len(validation.IsDNS1123Subdomain(string(c))) == 0 {
		return nil
	}
	return fmt.Errorf("%q is no cache: it is %s, %s or the name of a PersistentVolumeClaim", c, CacheNone, CacheNode)
}

// nodeDirectory is the directory of nodes that is the worker's.
func (w *Worker) nodeDirectory() string {
	return "/var/lib/midge/" + w.options.Namespace + "/" + labelValue(w.Name())
}

// holds tells whether a pod is held by its init container until inputs are there,
// which that takes from the cache as far as they are.
func (w *Worker) holds(spec runtime.ContainerSpec, volumes []volume) bool {
	if w.options.Cache == CacheNone {
		return false
	}
	for _, v := range volumes {
		if storedInput(spec, v) != nil {
			return true
		}
	}
	return false
}

// hold has a pod's init container hold it, and have the cache.
func (w *Worker) hold(p *corev1.Pod, spec runtime.ContainerSpec) {
	source := corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: string(w.options.Cache)}}
	if w.options.Cache == CacheNode {
		source = corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{
			Path: w.nodeDirectory(),
			Type: new(corev1.HostPathDirectoryOrCreate),
		}}
	}
	p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: cacheVolumeName, VolumeSource: source})
	agent := &p.Spec.InitContainers[0]
	agent.Command[1] = pod.ModeHold
	agent.VolumeMounts = append(agent.VolumeMounts, corev1.VolumeMount{Name: cacheVolumeName, MountPath: cachePath})
	if w.options.Cache == CacheNode || !w.isRestricted(spec) {
		// A node's directory is root's.
		agent.SecurityContext = &corev1.SecurityContext{
			RunAsUser:                new(int64(0)),
			RunAsNonRoot:             new(false),
			AllowPrivilegeEscalation: new(false),
			Capabilities: &corev1.Capabilities{
				Drop: []corev1.Capability{"ALL"},
				Add:  []corev1.Capability{"CHOWN", "DAC_OVERRIDE", "FOWNER"},
			},
		}
	} else {
		p.Spec.SecurityContext.FSGroup = p.Spec.SecurityContext.RunAsGroup
	}
}

// isHolding tells whether a pod's init container runs.
func isHolding(p *corev1.Pod) bool {
	for _, status := range p.Status.InitContainerStatuses {
		if status.Name == agentContainer {
			return status.State.Running != nil || status.State.Terminated != nil && status.State.Terminated.ExitCode == 0
		}
	}
	return false
}

// isRunning tells whether a pod's container runs.
func isRunning(p *corev1.Pod) bool {
	at, _, err := observe(p)
	return err == nil && at == phaseRunning
}

// fillHeld brings inputs into a pod that is held, and waits until that runs.
func (w *Worker) fillHeld(ctx context.Context, spec runtime.ContainerSpec, p *corev1.Pod, volumes []volume, say *progress) (*corev1.Pod, error) {
	order := pod.Order{Objects: objectsPath, Release: true}
	if security := p.Spec.SecurityContext; security != nil && security.RunAsUser != nil {
		order.Owner = int(*security.RunAsUser)
	}
	if err := w.fetchInputs(ctx, spec, p.Name, agentContainer, volumes, order); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, w.options.StartTimeout, errStartTimeout)
	defer cancel()
	return w.await(ctx, p, say, isRunning)
}
