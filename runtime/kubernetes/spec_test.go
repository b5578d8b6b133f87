package kubernetes

import (
	"errors"
	"strings"
	"testing"
	"time"

	"midge/runtime"
)

type artifact struct{ runtime.Artifact }

func (artifact) Handle() string { return "sha256:1" }

func TestNewPod(t *testing.T) {
	w := &Worker{options: Options{Name: "Cluster of ours", AgentImage: "agent", Security: SecurityRestricted, Deadline: 2 * time.Hour, Limits: runtime.Limits{Memory: 1 << 20}}}
	handle := strings.Repeat("x", 64)
	spec := runtime.ContainerSpec{Handle: handle, Dir: "/tmp/build", User: "1234", Inputs: []runtime.Input{{Artifact: artifact{}, Path: "in"}}}
	volumes, err := w.volumesFor(spec)
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.newPod(spec, "midge-1", "busybox", volumes)
	if err != nil {
		t.Fatal(err)
	}
	if got := *p.Spec.ActiveDeadlineSeconds; got != 7200 {
		t.Errorf("it may live for %d s, want 7200", got)
	}
	if *p.Spec.AutomountServiceAccountToken {
		t.Error("it has a service account's token")
	}
	for name, value := range p.Labels {
		if labelValue(value) != value {
			t.Errorf("the label %s is %q, which cannot be one", name, value)
		}
	}
	if p.Annotations[annotationContainer] != handle {
		t.Errorf("it says that it is %q", p.Annotations[annotationContainer])
	}
	if got := *p.Spec.SecurityContext.RunAsUser; got != 1234 {
		t.Errorf("its user is %d, want 1234", got)
	}
	if got := p.Spec.Containers[0].Resources.Limits.Memory().Value(); got != 1<<20 {
		t.Errorf("it may have %d bytes of memory, want the worker's %d", got, 1<<20)
	}
	mounts := p.Spec.Containers[0].VolumeMounts
	if len(mounts) != 3 || mounts[1].MountPath != "/tmp/build/in" || mounts[2].MountPath != "/tmp/build" {
		t.Errorf("its mounts are %+v", mounts)
	}
}

func TestVolumesFor(t *testing.T) {
	w := &Worker{options: Options{Security: SecurityBaseline}}
	for name, test := range map[string]struct {
		change func(*runtime.ContainerSpec)
		want   string // kinds and targets
		err    string
	}{
		"none": {change: func(*runtime.ContainerSpec) {}},
		"one of each": {change: func(s *runtime.ContainerSpec) {
			s.Inputs = []runtime.Input{{Artifact: artifact{}, Path: "in"}}
			s.Outputs = []runtime.Output{{Path: "deep/./er/out"}}
			s.Caches = []runtime.Cache{{Key: "k", Path: "/cache/"}}
		}, want: "input /work/in, output /work/deep/er/out, cache /cache"},
		"an input that is changed": {change: func(s *runtime.ContainerSpec) {
			s.Inputs = []runtime.Input{{Artifact: artifact{}, Path: "same"}}
			s.Outputs = []runtime.Output{{Path: "/work/same"}}
		}, want: "input /work/same"},
		"the working directory": {change: func(s *runtime.ContainerSpec) { s.Outputs = []runtime.Output{{Path: "."}} }, want: "output /work"},
		"two at one path":       {change: func(s *runtime.ContainerSpec) { s.Outputs = []runtime.Output{{Path: "a"}, {Path: "./a"}} }, err: "two volumes are to be mounted at /work/a"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := runtime.ContainerSpec{Handle: "h", Dir: "/work"}
			test.change(&spec)
			volumes, err := w.volumesFor(spec)
			if test.err != "" {
				if refused := (*runtime.SpecError)(nil); !errors.As(err, &refused) || err.Error() != test.err {
					t.Errorf("it gave %v, want %q", err, test.err)
				}
				return
			}
			var got []string
			for _, v := range volumes {
				got = append(got, string(v.Kind)+" "+v.Target)
			}
			if err != nil || strings.Join(got, ", ") != test.want {
				t.Errorf("it gave %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

// What is open stays as it is while its name goes to another, and is gone after that.
func TestStore(t *testing.T) {
	s, err := openStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"first", "second"} {
		dir, err := s.make(key)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.replace("name", dir); err != nil {
			t.Fatal(err)
		}
		tree, release, err := s.tree("name")
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Mkdir(key); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if _, err := tree.Stat(key); err != nil {
				t.Errorf("what was open of %s: %v", key, err)
			}
			release()
		})
	}
	if key, err := s.key("name"); err != nil || key != "second" {
		t.Errorf("the key is %q, %v", key, err)
	}
	if removed, err := s.remove("name"); !removed || err != nil {
		t.Errorf("remove gave %v, %v", removed, err)
	}
	if removed, err := s.remove("name"); removed || err != nil {
		t.Errorf("remove of nothing gave %v, %v", removed, err)
	}
	if names, err := s.names(); len(names) != 0 || err != nil {
		t.Errorf("the names are %q, %v", names, err)
	}
}
