package kubernetes

import (
	"strings"
	"testing"

	"midge/runtime"
)

func TestCheckTemplate(t *testing.T) {
	for name, test := range map[string]struct{ template, err string }{
		"none":             {"", ""},
		"good":             {"spec: {nodeSelector: {disk: ssd}, containers: [{name: task, resources: {limits: {cpu: 2}}}]}", ""},
		"no YAML":          {"spec: [", "the pod template is not one: yaml: "},
		"another kind":     {"kind: Deployment\nspec: {}", "its kind is Deployment"},
		"unknown field":    {"spec: {nodeSelectors: {}}", `the pod template is not one: unknown field "nodeSelectors"`},
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
