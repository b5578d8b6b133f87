package kubernetes

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"midge/runtime"
)

func TestKeptPrograms(t *testing.T) {
	var kept keptPrograms
	now := time.Now()
	if got := kept.current(now); got != "" {
		t.Errorf("before any is known it is %q", got)
	}
	kept.put("digest")
	if got := kept.current(now); got != "digest" {
		t.Errorf("it is %q", got)
	}
	if !kept.lack(now) || kept.lack(now.Add(time.Second)) {
		t.Error("that one lacks it is news once")
	}
	if got := kept.current(now.Add(lackPatience)); got != "" {
		t.Errorf("while pods bring it to nodes it is %q", got)
	}
	if got := kept.current(now.Add(lackPatience + time.Second)); got != "digest" {
		t.Errorf("after that it is %q", got)
	}
}

// Which pods begin with the node's program, and what of the node their tasks see.
func TestWithKeptProgram(t *testing.T) {
	digest := strings.Repeat("ab", 32)
	task := runtime.ContainerSpec{Handle: "h", Dir: "/tmp/build/1"}
	for name, test := range map[string]struct {
		change func(*Worker, *runtime.ContainerSpec)
		want   string // the program's directory on the node
	}{
		"a task without volumes": {func(*Worker, *runtime.ContainerSpec) {}, "/var/lib/midge/builds/cluster/programs/" + digest},
		"as who is restricted":   {func(w *Worker, _ *runtime.ContainerSpec) { w.options.Security = SecurityRestricted }, "/var/lib/midge/builds/cluster/programs/" + digest},
		"a directory of the template": {func(w *Worker, _ *runtime.ContainerSpec) {
			w.options.PodTemplate = []byte("spec: {volumes: [{name: midge-cache, hostPath: {path: /disk}}]}")
		}, "/disk/programs/" + digest},
		"a volume of the template that is no node's": {func(w *Worker, _ *runtime.ContainerSpec) {
			w.options.PodTemplate = []byte("spec: {volumes: [{name: midge-cache, emptyDir: {}, $retainKeys: [name, emptyDir]}]}")
		}, ""},
		"privileges of the template": {func(w *Worker, _ *runtime.ContainerSpec) {
			w.options.PodTemplate = []byte("spec: {containers: [{name: task, securityContext: {privileged: true}}]}")
		}, ""},
		"capabilities of the template": {func(w *Worker, _ *runtime.ContainerSpec) {
			w.options.PodTemplate = []byte("spec: {containers: [{name: task, securityContext: {capabilities: {add: [SYS_ADMIN]}}}]}")
		}, ""},
		"nothing known":   {func(w *Worker, _ *runtime.ContainerSpec) { w.kept = keptPrograms{} }, ""},
		"a node lacks it": {func(w *Worker, _ *runtime.ContainerSpec) { w.kept.lack(time.Now()) }, ""},
		"no cache":        {func(w *Worker, _ *runtime.ContainerSpec) { w.options.Cache = CacheNone }, ""},
		"a claim":         {func(w *Worker, _ *runtime.ContainerSpec) { w.options.Cache = "claim" }, ""},
		"privileged":      {func(_ *Worker, s *runtime.ContainerSpec) { s.Privileged = true }, ""},
		"an output":       {func(_ *Worker, s *runtime.ContainerSpec) { s.Outputs = []runtime.Output{{Path: "out"}} }, ""},
		"a directory of the image's": {func(w *Worker, s *runtime.ContainerSpec) {
			w.options.Security, s.Dir = SecurityRestricted, "/home/ann/build"
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := &Worker{options: Options{Name: "cluster", Namespace: "builds", Security: SecurityBaseline, Cache: CacheNode}, kept: keptPrograms{digest: digest}}
			spec := task
			test.change(w, &spec)
			p, err := w.podOf(spec, image{reference: "busybox"})
			if err != nil {
				t.Fatal(err)
			}
			before := p.DeepCopy()
			got := w.withKeptProgram(p)
			if before.String() != p.String() {
				t.Error("the pod with the init container is another now")
			}
			main := findContainer(got, taskContainer)
			if test.want == "" {
				if got != p || len(got.Spec.InitContainers) == 0 || main.Command[0] == keptProgram {
					t.Errorf("it begins with %q, after %d init containers", main.Command, len(got.Spec.InitContainers))
				}
				return
			}
			if len(got.Spec.InitContainers) != 0 || programOf(got) != keptProgram {
				t.Errorf("it begins with %q, after %d init containers", main.Command, len(got.Spec.InitContainers))
			}
			sources := make(map[string]corev1.VolumeSource)
			for _, v := range got.Spec.Volumes {
				sources[v.Name] = v.VolumeSource
			}
			var seen []string
			for _, mount := range main.VolumeMounts {
				if host := sources[mount.Name].HostPath; host != nil {
					seen = append(seen, host.Path)
					if !mount.ReadOnly {
						t.Errorf("the task may write in %s", host.Path)
					}
				}
			}
			if len(seen) != 1 || seen[0] != test.want {
				t.Errorf("the task sees %q of the node, want %q", seen, test.want)
			}
		})
	}
}

func TestLearnProgram(t *testing.T) {
	digest := strings.Repeat("0", 64)
	for report, want := range map[string]string{digest: digest, "": "before", "it is mounted noexec": "", digest + "0": "", "../" + digest[3:]: ""} {
		t.Run(report, func(t *testing.T) {
			w := &Worker{options: Options{Cache: CacheNode, Log: slog.New(slog.DiscardHandler)}, kept: keptPrograms{digest: "before"}}
			p, err := w.podOf(runtime.ContainerSpec{Handle: "h", Dir: "/"}, image{reference: "busybox"})
			if err != nil {
				t.Fatal(err)
			}
			if report != "" {
				p.Status.InitContainerStatuses = []corev1.ContainerStatus{{
					Name:  agentContainer,
					State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: report}},
				}}
			}
			w.learnProgram(p)
			if got := w.kept.current(time.Now()); got != want {
				t.Errorf("nodes are taken to have %q, want %q", got, want)
			}
		})
	}
}

// A container that is not started for another reason is told of as before.
func TestLacksProgram(t *testing.T) {
	const absent = `exec: "` + keptProgram + `": stat ` + keptProgram + `: no such file or directory`
	waiting := func(message string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CreateContainerError", Message: message}}
	}
	terminated := func(message string) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "StartError", ExitCode: 128, Message: message}}
	}
	for name, test := range map[string]struct {
		program string
		state   corev1.ContainerState
		want    bool
	}{
		"absent":                      {keptProgram, terminated(absent), true},
		"absent, and tried again":     {keptProgram, waiting(absent), true},
		"not started by another":      {keptProgram, terminated("no space left on device"), false},
		"runs":                        {keptProgram, corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, false},
		"one with the init container": {"/midge/midge-agent", terminated(absent), false},
	} {
		t.Run(name, func(t *testing.T) {
			p := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: taskContainer, Command: []string{test.program}}}}}
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "other", State: terminated(absent)}, {Name: taskContainer, State: test.state}}
			if got := lacksProgram(p); got != test.want {
				t.Errorf("it gave %v", got)
			}
		})
	}
}
