package kubernetes

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"midge/agent/pod"
	"midge/runtime"
)

// Cache is what keeps the contents of inputs, of what one container hands to another,
// and of task caches from one pod to the next: CacheNone, CacheNode, or the name of a
// PersistentVolumeClaim of the namespace. Tasks do not see it: a container beside theirs
// alone has it, and fills the pod's own directories and reads them.
type Cache string

const (
	// CacheNone keeps nothing: each pod is sent all, and task caches lie in the worker's
	// state directory.
	CacheNone Cache = "none"
	// CacheNode keeps it in a directory of each node, which the worker's pods there share.
	// No Pod Security Standard but privileged admits such pods.
	CacheNode Cache = "node"
)

const (
	cacheContainer  = "midge-cache"
	cacheVolumeName = "midge-cache"
	cachePath       = "/midge-cache"
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

// shares tells whether the pod of a container has the cache: whether there is anything
// in it that comes from there or goes there.
func (w *Worker) shares(volumes []volume) bool {
	return w.options.Cache != CacheNone && slices.ContainsFunc(volumes, func(v volume) bool { return v.Kind != workVolume })
}

// share adds to a pod a container that has the cache, for exchanges. It is a sidecar:
// an init container that stays for as long as the task's does.
func (w *Worker) share(p *corev1.Pod, spec runtime.ContainerSpec) {
	w.addCache(p)
	security := w.containerSecurity(false, w.isRestricted(spec))
	if w.options.Cache == CacheNode || !w.isRestricted(spec) {
		security = ofNodes()
	} else {
		p.Spec.SecurityContext.FSGroup = p.Spec.SecurityContext.RunAsGroup
	}
	p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{
		Name:            cacheContainer,
		Image:           w.options.AgentImage,
		Command:         []string{pod.Program, pod.ModeCache, pod.Dir},
		RestartPolicy:   new(corev1.ContainerRestartPolicyAlways),
		VolumeMounts:    slices.Concat(p.Spec.InitContainers[0].VolumeMounts, []corev1.VolumeMount{cacheMount}),
		SecurityContext: security,
	})
}

var cacheMount = corev1.VolumeMount{Name: cacheVolumeName, MountPath: cachePath}

// addCache adds the cache to a pod's volumes.
func (w *Worker) addCache(p *corev1.Pod) {
	source := corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: string(w.options.Cache)}}
	if w.options.Cache == CacheNode {
		source = corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{
			Path: w.nodeDirectory(),
			Type: new(corev1.HostPathDirectoryOrCreate),
		}}
	}
	p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: cacheVolumeName, VolumeSource: source})
}

// ofNodes is what a container may do that has a directory of the node, which is root's.
func ofNodes() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		RunAsUser:                new(int64(0)),
		RunAsNonRoot:             new(false),
		AllowPrivilegeEscalation: new(false),
		Capabilities: &corev1.Capabilities{
			Drop: []corev1.Capability{"ALL"},
			Add:  []corev1.Capability{"CHOWN", "DAC_OVERRIDE", "FOWNER"},
		},
	}
}

// hasCache tells whether a pod has the container that has the cache.
func hasCache(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == cacheContainer })
}
