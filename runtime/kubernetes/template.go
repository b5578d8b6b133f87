package kubernetes

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"
)

// checkTemplates says what is wrong with the templates, nil when nothing is.
func (o *Options) checkTemplates() error {
	if err := checkTemplate(o.PodTemplate); err != nil {
		return err
	}
	for _, tag := range slices.Sorted(maps.Keys(o.TagTemplates)) {
		if err := checkTemplate(o.TagTemplates[tag]); err != nil {
			return fmt.Errorf("the tag %s: %w", tag, err)
		}
	}
	return nil
}

// checkTemplate says what is wrong with a pod template, nil when nothing is.
func checkTemplate(template []byte) error {
	if len(template) == 0 {
		return nil
	}
	var p corev1.Pod
	if err := yaml.UnmarshalStrict(template, &p); err != nil {
		return fmt.Errorf("the pod template is not one: %s", templateFault(err))
	}
	if p.Kind != "" && p.Kind != "Pod" {
		return fmt.Errorf("the pod template is not one: its kind is %s", p.Kind)
	}
	for _, c := range append(p.Spec.InitContainers, p.Spec.Containers...) {
		if (c.Name == taskContainer || c.Name == agentContainer || c.Name == cacheContainer) && (len(c.Command) > 0 || len(c.Args) > 0) {
			return fmt.Errorf("the pod template may not say what the container %s runs", c.Name)
		}
	}
	if p.Spec.RestartPolicy != "" && p.Spec.RestartPolicy != corev1.RestartPolicyNever {
		return fmt.Errorf("the pod template may not have the restart policy %s: what runs twice is no task", p.Spec.RestartPolicy)
	}
	if p.Spec.ShareProcessNamespace != nil && *p.Spec.ShareProcessNamespace {
		return fmt.Errorf("the pod template may not share the process namespace: midge-agent has to be its container's first process")
	}
	return nil
}

// templateFault says what is wrong with a template, without the ways in which that was
// found out.
func templateFault(err error) string {
	_, fault, _ := strings.Cut(err.Error(), "JSON: ")
	return strings.TrimPrefix(strings.TrimPrefix(cmp.Or(fault, err.Error()), "while decoding JSON: "), "json: ")
}

// withTemplate merges a template, which was checked, over a pod. The pod's own name,
// labels and annotations stay, and so do its tolerations.
func withTemplate(p *corev1.Pod, template []byte) (*corev1.Pod, error) {
	if len(template) == 0 {
		return p, nil
	}
	patch, err := yaml.YAMLToJSON(template)
	if err != nil {
		return nil, err
	}
	original, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	merged, err := strategicpatch.StrategicMergePatch(original, patch, corev1.Pod{})
	if err != nil {
		return nil, err
	}
	var result corev1.Pod
	if err := json.Unmarshal(merged, &result); err != nil {
		return nil, err
	}
	// A strategic merge would have the later list take the place of the one before.
	for _, toleration := range p.Spec.Tolerations {
		if !slices.ContainsFunc(result.Spec.Tolerations, func(other corev1.Toleration) bool { return reflect.DeepEqual(toleration, other) }) {
			result.Spec.Tolerations = append(result.Spec.Tolerations, toleration)
		}
	}
	result.Name, result.Namespace = p.Name, p.Namespace
	result.Labels, result.Annotations = with(result.Labels, p.Labels), with(result.Annotations, p.Annotations)
	return &result, nil
}

// with gives a map, which may be nil, with what another has.
func with(all, more map[string]string) map[string]string {
	if all == nil {
		all = make(map[string]string, len(more))
	}
	maps.Copy(all, more)
	return all
}
