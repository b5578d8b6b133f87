package kubernetes

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"midge/runtime"
)

// architectures are those that nodes with Linux may have, as their label calls them.
var architectures = []string{"386", "amd64", "arm", "arm64", "loong64", "mips64le", "ppc64le", "riscv64", "s390x"}

// otherNames are what else some of them are known by.
var otherNames = map[string]string{"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386", "armv7": "arm", "armv7l": "arm"}

// nodeSelector gives the labels of the nodes that a container of a platform is for.
func nodeSelector(platform string) (map[string]string, error) {
	labels := map[string]string{corev1.LabelOSStable: "linux"}
	system, architecture, named := strings.Cut(platform, "/")
	switch {
	case system != "linux" && system != "":
		return nil, &runtime.SpecError{Message: fmt.Sprintf("platform %s: pods run on linux alone", platform)}
	case !named:
	case slices.Contains(architectures, architecture):
		labels[corev1.LabelArchStable] = architecture
	case otherNames[architecture] != "":
		return nil, &runtime.SpecError{Message: fmt.Sprintf("platform %s: a cluster calls that linux/%s", platform, otherNames[architecture])}
	default:
		return nil, &runtime.SpecError{Message: fmt.Sprintf("platform %s: a cluster knows linux with one of %s", platform, strings.Join(architectures, ", "))}
	}
	return labels, nil
}

// placed merges the worker's template over a pod, and then those of the tags that the
// container's task has asked for, in the order of their names.
func (w *Worker) placed(p *corev1.Pod, tags []string) (*corev1.Pod, error) {
	p, err := withTemplate(p, w.options.PodTemplate)
	if err != nil {
		return nil, fmt.Errorf("merge the pod template: %w", err)
	}
	for _, tag := range slices.Compact(slices.Sorted(slices.Values(tags))) {
		if p, err = withTemplate(p, w.options.TagTemplates[tag]); err != nil {
			return nil, fmt.Errorf("merge the pod template of the tag %s: %w", tag, err)
		}
	}
	return p, nil
}

// optionalTags lists the tags that have a template.
func (w *Worker) optionalTags() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(w.options.TagTemplates)), func(tag string) bool {
		return slices.Contains(w.options.Tags, tag)
	})
}
