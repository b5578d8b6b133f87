package kubernetes

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"midge/agent/pod"
	"midge/runtime"
)

// Names in a pod's spec.
const (
	taskContainer  = "task"
	agentContainer = "midge-agent"
	agentVolume    = "midge"
	parentVolume   = "midge-work"
)

// restrictedUser runs the processes of a container whose spec names nobody, where root may not.
const restrictedUser = 1000

// A volumeKind says what a container's volume is there for.
type volumeKind string

const (
	inputVolume  volumeKind = "input"
	outputVolume volumeKind = "output"
	cacheVolume  volumeKind = "cache"
	workVolume   volumeKind = "dir" // the working directory, where its user could not make it
)

// A volume is a directory of a pod, as its annotation has it. Its place in the list is
// its number for package agent/pod.
type volume struct {
	Handle string     `json:"handle"`
	Kind   volumeKind `json:"kind"`
	Path   string     `json:"path"`             // as the spec has it
	Target string     `json:"target"`           // absolute
	Parent string     `json:"parent,omitempty"` // of an input, the artifact
	Key    string     `json:"key,omitempty"`    // of a cache
}

// checkSpec refuses what no pod can be made of.
func (w *Worker) checkSpec(spec runtime.ContainerSpec) error {
	refuse := func(format string, args ...any) error {
		return &runtime.SpecError{Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case !validHandle(spec.Handle):
		return refuse("%q is no handle of a container: it is 1 to 64 of a-z, 0-9 and '-'", spec.Handle)
	case !path.IsAbs(spec.Dir):
		return refuse("the working directory %q is no absolute path", spec.Dir)
	case spec.Hermetic:
		return refuse("worker %q is a cluster, where a container cannot be cut off from the network", w.Name())
	}
	return nil
}

// volumesFor lists the volumes of a container.
func (w *Worker) volumesFor(spec runtime.ContainerSpec) ([]volume, error) {
	var all []volume
	taken := make(map[string]volumeKind)
	add := func(kind volumeKind, index int, where string) *volume {
		target := path.Clean(where)
		if !path.IsAbs(target) {
			target = path.Join(spec.Dir, target)
		}
		all = append(all, volume{Handle: fmt.Sprintf("%s-%s-%d", spec.Handle, kind, index), Kind: kind, Path: where, Target: target})
		return &all[len(all)-1]
	}
	for i, input := range spec.Inputs {
		add(inputVolume, i, input.Path).Parent = input.Artifact.Handle()
	}
	for i, output := range spec.Outputs {
		add(outputVolume, i, output.Path)
	}
	for i, cache := range spec.Caches {
		add(cacheVolume, i, cache.Path).Key = cache.Key
	}
	kept := all[:0]
	for _, v := range all {
		before, ok := taken[v.Target]
		if ok && before == inputVolume && v.Kind == outputVolume {
			continue // a task that changes its input, and gives that
		}
		if ok {
			return nil, &runtime.SpecError{Message: fmt.Sprintf("two volumes are to be mounted at %s", v.Target)}
		}
		taken[v.Target] = v.Kind
		kept = append(kept, v)
	}
	dir := path.Clean(spec.Dir)
	if _, ok := taken[dir]; !ok && dir != "/" && w.isRestricted(spec) {
		work := volume{Handle: spec.Handle + "-" + string(workVolume), Kind: workVolume, Path: dir, Target: dir}
		if parent := path.Dir(dir); len(kept) == 0 && strings.HasPrefix(parent, "/tmp/") {
			work.Target = parent // where no image has anything
		}
		kept = append(kept, work)
	}
	return kept, nil
}

// isParent tells whether the volume is the working directory's parent: there the user
// makes that, and so owns it, whoever has made the volume.
func (v volume) isParent() bool { return v.Kind == workVolume && v.Target != v.Path }

func (w *Worker) isRestricted(spec runtime.ContainerSpec) bool {
	return w.options.Security == SecurityRestricted && !spec.Privileged
}

// newPod gives the pod of a container, before the template.
func (w *Worker) newPod(spec runtime.ContainerSpec, name, image string, volumes []volume) (*corev1.Pod, error) {
	annotation, err := json.Marshal(volumes)
	if err != nil {
		return nil, err
	}
	mounts := []corev1.VolumeMount{{Name: agentVolume, MountPath: pod.Dir}}
	own := mounts
	nodes, err := nodeSelector(spec.Platform)
	if err != nil {
		return nil, err
	}
	all := []corev1.Volume{emptyVolume(agentVolume)}
	for number, v := range volumes {
		if v.isParent() { // whole: a node mounts a directory of a volume by a program of its own
			all = append(all, emptyVolume(parentVolume))
			mounts = append(mounts, corev1.VolumeMount{Name: parentVolume, MountPath: v.Target})
			continue
		}
		mounts = append(mounts, corev1.VolumeMount{Name: agentVolume, MountPath: v.Target, SubPath: pod.VolumeDir(number)})
	}
	return &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Namespace:   w.options.Namespace,
			Labels:      w.labels(spec.Handle),
			Annotations: map[string]string{annotationContainer: spec.Handle, annotationVolumes: string(annotation)},
			// Not the server's own pod or Deployment: those are made anew, and pods outlive that.
			OwnerReferences: w.owners,
		},
		Spec: corev1.PodSpec{
			RestartPolicy:                 corev1.RestartPolicyNever,
			ActiveDeadlineSeconds:         new(int64(w.options.Deadline.Seconds())),
			TerminationGracePeriodSeconds: new(int64(1)), // the first process does not end by a signal
			AutomountServiceAccountToken:  new(false),
			EnableServiceLinks:            new(false),
			Hostname:                      hostname(cmp.Or(spec.Hostname, spec.Handle)),
			NodeSelector:                  nodes,
			SecurityContext:               w.podSecurity(spec),
			Volumes:                       all,
			InitContainers: []corev1.Container{{
				Name:            agentContainer,
				Image:           w.options.AgentImage,
				ImagePullPolicy: corev1.PullIfNotPresent, // each pod begins with it, whatever its tag
				Command:         []string{"/midge-agent", pod.ModeInstall, pod.Dir, strconv.Itoa(len(volumes))},
				VolumeMounts:    own,
				SecurityContext: w.containerSecurity(false, w.isRestricted(spec)),
			}},
			Containers: []corev1.Container{{
				Name:            taskContainer,
				Image:           image,
				Command:         []string{pod.Program, pod.ModeServe, pod.Dir},
				WorkingDir:      "/",
				VolumeMounts:    mounts,
				Resources:       resources(w.limits(spec.Limits)),
				SecurityContext: w.containerSecurity(spec.Privileged, w.isRestricted(spec)),
			}},
		},
	}, nil
}

// emptyVolume gives a volume that is the pod's own.
func emptyVolume(name string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}
}

func (w *Worker) labels(handle string) map[string]string {
	return labels.Merge(w.own(), labels.Set{labelContainer: digest(handle)})
}

func (w *Worker) podSecurity(spec runtime.ContainerSpec) *corev1.PodSecurityContext {
	if spec.Privileged {
		return nil
	}
	security := &corev1.PodSecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}}
	if w.isRestricted(spec) {
		user := int64(restrictedUser)
		if number, err := strconv.ParseUint(spec.User, 10, 31); err == nil && number > 0 {
			user = int64(number)
		}
		security.RunAsNonRoot, security.RunAsUser, security.RunAsGroup = new(true), &user, &user
	}
	return security
}

func (w *Worker) containerSecurity(privileged, restricted bool) *corev1.SecurityContext {
	switch {
	case privileged:
		return &corev1.SecurityContext{Privileged: new(true)}
	case restricted:
		return &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		}
	default:
		return nil
	}
}

// limits gives the limits that a container has, the worker's where it asks for none.
func (w *Worker) limits(asked runtime.Limits) runtime.Limits {
	return runtime.Limits{
		CPUShares: cmp.Or(asked.CPUShares, w.options.Limits.CPUShares),
		Memory:    cmp.Or(asked.Memory, w.options.Limits.Memory),
		Disk:      cmp.Or(asked.Disk, w.options.Limits.Disk),
	}
}

// resources gives limits as a pod has them. Shares are a weight, as requests of cpu
// are; a limit of memory or of disk space is a request for as much.
func resources(limits runtime.Limits) corev1.ResourceRequirements {
	r := corev1.ResourceRequirements{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}
	if limits.CPUShares > 0 {
		r.Requests[corev1.ResourceCPU] = *resource.NewMilliQuantity(int64(limits.CPUShares)*1000/1024, resource.DecimalSI)
	}
	for name, bytes := range map[corev1.ResourceName]uint64{corev1.ResourceMemory: limits.Memory, corev1.ResourceEphemeralStorage: limits.Disk} {
		if bytes > 0 {
			amount := *resource.NewQuantity(int64(bytes), resource.BinarySI)
			r.Requests[name], r.Limits[name] = amount, amount
		}
	}
	return r
}
