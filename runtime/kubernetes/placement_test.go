package kubernetes

import (
	"errors"
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"midge/runtime"
)

func TestNodeSelector(t *testing.T) {
	for platform, want := range map[string]struct{ architecture, err string }{
		"":              {},
		"linux":         {},
		"linux/arm64":   {architecture: "arm64"},
		"linux/x86_64":  {err: "platform linux/x86_64: a cluster calls that linux/amd64"},
		"linux/arm/v7":  {err: "platform linux/arm/v7: a cluster knows linux with one of 386, amd64, arm, arm64, loong64, mips64le, ppc64le, riscv64, s390x"},
		"linux/":        {err: "platform linux/: a cluster knows linux with one of 386, amd64, arm, arm64, loong64, mips64le, ppc64le, riscv64, s390x"},
		"windows/amd64": {err: "platform windows/amd64: pods run on linux alone"},
	} {
		labels, err := nodeSelector(platform)
		if want.err != "" {
			if refused := (*runtime.SpecError)(nil); !errors.As(err, &refused) || err.Error() != want.err {
				t.Errorf("%q gave %v, want %q", platform, err, want.err)
			}
			continue
		}
		if err != nil || labels[corev1.LabelOSStable] != "linux" || labels[corev1.LabelArchStable] != want.architecture {
			t.Errorf("%q gave %v, %v; want the architecture %q", platform, labels, err, want.architecture)
		}
	}
}

// What a task's tags say is merged over what the worker says, and tolerations add up.
func TestPlaced(t *testing.T) {
	w := &Worker{options: Options{
		Name: "cluster", AgentImage: "agent", Tags: []string{"own"},
		PodTemplate: []byte("spec: {nodeSelector: {disk: ssd, zone: a}, tolerations: [{key: builds}]}"),
		TagTemplates: map[string][]byte{
			"own":  nil,
			"gpu":  []byte("spec: {nodeSelector: {accelerator: nvidia}, tolerations: [{key: gpu}], containers: [{name: task, resources: {limits: {nvidia.com/gpu: 1}}}]}"),
			"spot": []byte("spec: {nodeSelector: {zone: b}, tolerations: [{key: spot}, {key: builds}]}"),
		},
	}}
	if got := w.optionalTags(); !slices.Equal(got, []string{"gpu", "spot"}) {
		t.Errorf("the optional tags are %q", got)
	}
	for name, test := range map[string]struct {
		tags   []string
		labels map[string]string
		keys   []string // of tolerations
		gpus   int64
	}{
		"none":    {nil, map[string]string{"disk": "ssd", "zone": "a"}, []string{"builds"}, 0},
		"one":     {[]string{"own", "gpu"}, map[string]string{"disk": "ssd", "zone": "a", "accelerator": "nvidia"}, []string{"builds", "gpu"}, 1},
		"several": {[]string{"spot", "gpu", "gpu"}, map[string]string{"disk": "ssd", "zone": "b", "accelerator": "nvidia"}, []string{"builds", "gpu", "spot"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			spec := runtime.ContainerSpec{Handle: "b1", Dir: "/tmp/build", Platform: "linux/arm64", Tags: test.tags}
			p, err := w.newPod(spec, "midge-1", "busybox", nil)
			if err == nil {
				p, err = w.placed(p, spec.Tags)
			}
			if err != nil {
				t.Fatal(err)
			}
			test.labels[corev1.LabelOSStable], test.labels[corev1.LabelArchStable] = "linux", "arm64"
			if !maps.Equal(p.Spec.NodeSelector, test.labels) {
				t.Errorf("it is for nodes with %v, want %v", p.Spec.NodeSelector, test.labels)
			}
			var keys []string
			for _, toleration := range p.Spec.Tolerations {
				keys = append(keys, toleration.Key)
			}
			slices.Sort(keys)
			if !slices.Equal(keys, test.keys) {
				t.Errorf("it tolerates %q, want %q", keys, test.keys)
			}
			gpus := p.Spec.Containers[0].Resources.Limits["nvidia.com/gpu"]
			if gpus.Value() != test.gpus {
				t.Errorf("it gets %d, want %d", gpus.Value(), test.gpus)
			}
		})
	}
}
