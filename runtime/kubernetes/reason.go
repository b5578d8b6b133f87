package kubernetes

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"midge/runtime"
)

// A PodError tells in one sentence what became of a container's pod.
type PodError struct {
	Pod string
	// Reason is the cluster's word for it, "" when it has none.
	Reason  string
	Message string

	handle string // of the container, when that is no more
	passes bool   // another pod in place of this one may fare better
}

func (e *PodError) Error() string { return e.Message }

// Unwrap has the error be a *runtime.NotFoundError when the container is no more.
func (e *PodError) Unwrap() error {
	if e.handle == "" {
		return nil
	}
	return &runtime.NotFoundError{Kind: "container", Name: e.handle}
}

// observe says how far a pod has come on its way to run, and what it waits for. What
// it cannot recover from is an error.
func observe(p *corev1.Pod) (at phase, waits string, err error) {
	if lacksProgram(p) {
		return "", "", errNoProgram
	}
	if err := ended(p); err != nil {
		return "", "", err
	}
	if condition := findCondition(p, corev1.PodScheduled); condition == nil || condition.Status != corev1.ConditionTrue {
		if condition != nil && condition.Message != "" {
			waits = "no node takes the pod yet: " + sentence(condition.Message)
		}
		return phaseScheduling, waits, nil
	}
	for _, status := range p.Status.InitContainerStatuses {
		if status.Name == cacheContainer && status.State.Running != nil {
			continue
		}
		if status.State.Terminated == nil || status.State.Terminated.ExitCode != 0 {
			waits, err = observeContainer(status)
			return phaseInitializing, waits, err
		}
	}
	for _, status := range p.Status.ContainerStatuses {
		if status.Name != taskContainer {
			continue
		}
		if status.State.Running != nil {
			return phaseRunning, "", nil
		}
		waits, err = observeContainer(status)
		if strings.Contains(status.State.Waiting.String(), "Pull") {
			return phasePulling, waits, err
		}
		return phaseStarting, waits, err
	}
	return phaseInitializing, "", nil
}

// ended says why a pod has come to its end, nil when it has not.
func ended(p *corev1.Pod) error {
	e := &PodError{Pod: p.Name, Reason: p.Status.Reason}
	switch {
	case p.DeletionTimestamp != nil:
		e.handle = p.Annotations[annotationContainer]
		e.Message = fmt.Sprintf("pod %s was deleted", p.Name)
		if reason := disruption(p); reason != "" {
			e.Message += ": " + reason
		}
	case p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded:
		e.Message = fmt.Sprintf("pod %s has ended", p.Name)
		if why := whyFailed(p, e); why != "" {
			e.Message += ": " + why
		}
	default:
		return nil
	}
	e.passes = !hasBegun(p) && (disruption(p) != "" || isTurnedAway(p))
	return e
}

// isTurnedAway tells whether a pod's node has not taken it.
func isTurnedAway(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodFailed && p.Status.Reason != "" && p.Status.Reason != "DeadlineExceeded"
}

// hasBegun tells whether something has run in a pod.
func hasBegun(p *corev1.Pod) bool {
	for _, status := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if status.State.Running != nil || status.State.Terminated != nil {
			return true
		}
	}
	return false
}

// disruption is why the cluster takes a pod away, "" when it does not say.
func disruption(p *corev1.Pod) string {
	if condition := findCondition(p, corev1.DisruptionTarget); condition != nil {
		return cmp.Or(condition.Message, condition.Reason)
	}
	return ""
}

// whyFailed says what a pod that has ended came to its end by, and notes the cluster's word for it.
func whyFailed(p *corev1.Pod, e *PodError) string {
	switch p.Status.Reason {
	case "":
	case "DeadlineExceeded":
		return "it was there for longer than a pod of this worker may be"
	case "Evicted":
		return "its node " + p.Spec.NodeName + " evicted it: " + sentence(p.Status.Message)
	default:
		return fmt.Sprintf("node %s: %s: %s", p.Spec.NodeName, p.Status.Reason, sentence(p.Status.Message))
	}
	for _, status := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		terminated := status.State.Terminated
		if terminated == nil || terminated.ExitCode == 0 || status.Name == cacheContainer { // which goes with the others
			continue
		}
		e.Reason = terminated.Reason
		if terminated.Reason == "OOMKilled" {
			return "its container was killed for memory" + memoryLimit(p)
		}
		return fmt.Sprintf("container %s ended with status %d (%s)", status.Name, terminated.ExitCode,
			strings.TrimSpace(terminated.Reason+" "+terminated.Message))
	}
	return disruption(p)
}

// memoryLimit says what the limit is that was reached, "" when there is none.
func memoryLimit(p *corev1.Pod) string {
	for _, c := range p.Spec.Containers {
		if limit, ok := c.Resources.Limits[corev1.ResourceMemory]; ok && c.Name == taskContainer {
			return ", of which it may have " + limit.String()
		}
	}
	return ""
}

// observeContainer says what a container that does not run waits for.
func observeContainer(status corev1.ContainerStatus) (waits string, err error) {
	if t := status.State.Terminated; t != nil {
		return "", refusal(fmt.Sprintf("container %s could not be started: %s", ofImage(status), t.Message))
	}
	waiting := status.State.Waiting
	if waiting == nil {
		return "", nil
	}
	message := oneLine(waiting.Message)
	switch waiting.Reason {
	case "ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable":
		waits := cannotPull(status, cmp.Or(message, waiting.Reason))
		if cannotBePulled(message) {
			return "", refusal(waits)
		}
		return waits, nil
	case "InvalidImageName", "ErrImageNeverPull":
		return "", refusal(cannotPull(status, message))
	case "CreateContainerConfigError":
		if strings.Contains(message, "non-root") || strings.Contains(message, "runAsNonRoot") {
			return "", refusal(fmt.Sprintf("image %s cannot be run by who is not root: %s", status.Image, message))
		}
		return message, nil
	case "CreateContainerError", "RunContainerError", "StartError", "CrashLoopBackOff":
		if isBusy(message) {
			return fmt.Sprintf("container %s cannot be started yet: %s", status.Name, message), nil
		}
		return "", refusal(fmt.Sprintf("container %s cannot be started: %s", ofImage(status), message))
	}
	return "", nil
}

// cannotPull says that a container's image cannot be pulled, and whose it is when it is not
// the task's.
func cannotPull(status corev1.ContainerStatus, why string) string {
	if isAgents(status) {
		return fmt.Sprintf("image %s, which the server's agent-image names, cannot be pulled: %s", status.Image, why)
	}
	return fmt.Sprintf("image %s cannot be pulled: %s", status.Image, why)
}

// ofImage gives a container's name, with its image when that is not the task's.
func ofImage(status corev1.ContainerStatus) string {
	if isAgents(status) {
		return fmt.Sprintf("%s, of the image %s, which the server's agent-image names,", status.Name, status.Image)
	}
	return status.Name
}

// isAgents tells whether a container is one that midge-agent's image is for.
func isAgents(status corev1.ContainerStatus) bool {
	return status.Name == agentContainer || status.Name == cacheContainer
}

// isBusy tells whether what a node says of a container means that it has too much to
// do: then it tries again, and the name of the attempt before may be in its way.
func isBusy(message string) bool {
	return strings.Contains(message, "context deadline exceeded") || strings.Contains(message, "DeadlineExceeded") ||
		strings.Contains(message, "is reserved for")
}

// refusal is an error of who asked for the container.
func refusal(sentence string) error { return &runtime.SpecError{Message: sentence} }

// cannotBePulled tells whether what a node says of an image means that no other
// attempt would fare better.
func cannotBePulled(message string) bool {
	for _, words := range []string{
		"not found", "no match for platform", "no matching manifest", "manifest unknown", "does not exist", "repository name not known",
		"authorization failed", "unauthorized", "authentication required", "access denied", "denied:", "403 Forbidden", "401 Unauthorized",
		"invalid reference format", "exec format error",
	} {
		if strings.Contains(message, words) {
			return true
		}
	}
	return false
}

func findCondition(p *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i, condition := range p.Status.Conditions {
		if condition.Type == kind {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

// explainCreate says why the cluster refuses a pod for good.
func (w *Worker) explainCreate(err error) error {
	if isLackOfRight(err) {
		return errors.New(oneLine(explainRequest(err).Error()))
	}
	return &runtime.SpecError{Message: "the cluster refuses the pod: " + oneLine(err.Error())}
}

// sentence gives a text as one line without its end, for a sentence to go on.
func sentence(text string) string { return strings.TrimSuffix(oneLine(text), ".") }

// oneLine gives a text as one line.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
