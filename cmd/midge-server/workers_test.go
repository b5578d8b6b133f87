package main

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"midge/runtime/kubernetes"
	"midge/runtime/runc"
	"midge/runtime/runc/network"
)

func TestWorkersOfTheFile(t *testing.T) {
	s, err := parse(t, []string{"--max-active-tasks", "3", "--allow-rootfs", "/images"}, nil, `
workers:
- name: plain
- name: gpu
  tags: [gpu, big]
  team: ci
  platform: linux
  runtime: runc
  max-active-tasks: 1
  runc: {state-dir: /srv/gpu, network: none, host-image: false, allow-rootfs: [/other]}
- name: cluster
  runtime: kubernetes
  kubernetes: {namespace: builds, pod-security: baseline, pod-start-timeout: 1m}
network: host
agent-image: midge:1
`)
	if err != nil {
		t.Fatal(err)
	}
	placed, err := s.placeWorkers("/data/workers")
	if err != nil || len(placed) != 3 {
		t.Fatalf("got %+v, %v; want three workers", placed, err)
	}
	// These have defaults of their own.
	for i := range placed {
		placed[i].runc.Bridge, placed[i].networkFallback = network.Options{}, ""
	}
	hidden := []string{"/data", "/data/workers/plain", "/srv/gpu", "/data/workers/cluster"}
	others := kubernetesSettings{Options: kubernetes.Options{
		AgentImage: "midge:1", Security: kubernetes.SecurityRestricted, StartTimeout: kubernetes.DefaultStartTimeout, Deadline: kubernetes.DefaultDeadline, Cache: kubernetes.CacheNone}}
	cluster := others
	cluster.StateDir, cluster.Namespace, cluster.Security, cluster.StartTimeout = "/data/workers/cluster", "builds", kubernetes.SecurityBaseline, time.Minute
	want := []workerSettings{
		{name: "plain", platform: "linux", runtime: "runc", maxActiveTasks: 3, runc: runc.Options{
			Toolbox: runc.FindToolbox(), StateDir: "/data/workers/plain", Hide: hidden, HostImage: true, Network: runc.NetworkHost, AllowRootfs: []string{"/images"}}},
		{name: "gpu", tags: []string{"gpu", "big"}, team: "ci", platform: "linux", runtime: "runc", maxActiveTasks: 1, runc: runc.Options{
			Toolbox: runc.FindToolbox(), StateDir: "/srv/gpu", Hide: hidden, Network: runc.NetworkNone, AllowRootfs: []string{"/other"}}},
		{name: "cluster", platform: "linux", runtime: "kubernetes", maxActiveTasks: 3, kubernetes: cluster, runc: runc.Options{
			Toolbox: runc.FindToolbox(), Hide: hidden, HostImage: true, Network: runc.NetworkHost, AllowRootfs: []string{"/images"}}},
	}
	want[0].kubernetes, want[1].kubernetes = others, others
	if !reflect.DeepEqual(placed, want) {
		t.Errorf("got\n%+v\nwant\n%+v", placed, want)
	}
}

func TestTheOnlyWorker(t *testing.T) {
	s, err := parse(t, []string{"--worker-name", "one", "--tag", "a", "--tag", "b"}, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	placed, err := s.placeWorkers("/data/workers")
	if err != nil || len(placed) != 1 {
		t.Fatalf("got %+v, %v; want one worker", placed, err)
	}
	got := placed[0]
	if got.name != "one" || !slices.Equal(got.tags, []string{"a", "b"}) || got.runc.StateDir != "/data/workers" || !slices.Equal(got.runc.Hide, []string{"/data"}) {
		t.Errorf("got %+v", got)
	}
}

func TestBadWorkers(t *testing.T) {
	tests := []struct{ name, file, want string }{
		{"no list", "workers: {name: a}", "it should be a list of workers"},
		{"empty", "workers: []", "it should be a list of workers"},
		{"a word", "workers: [a]", "the worker 1 of the list: it should have fields"},
		{"no name", "workers: [{name: a}, {team: x}]", "the worker 2 of the list: it has no name"},
		{"bad name", "workers: [{name: ../a}]", `"../a" is no name of a worker`},
		{"same name", "workers: [{name: a}, {name: a}]", "two workers are called a"},
		{"unknown field", "workers: [{name: a, tag: [x]}]", `the worker a: there is no field "tag"; did you mean tags?`},
		{"unknown section", "workers: [{name: a, rucn: {}}]", `there is no field "rucn"; did you mean runc?`},
		{"unknown field of a section", "workers: [{name: a, runc: {netwrk: none}}]", `the worker a: the section runc: there is no field "netwrk"; did you mean network?`},
		{"a section that is none", "workers: [{name: a, runc: none}]", "the section runc should have fields"},
		{"bad value", "workers: [{name: a, runc: {network: wifi}}]", "the worker a: the section runc: the field network: it should be one of"},
		{"bad runtime", "workers: [{name: a, runtime: vm}]", "the field runtime: it should be one of runc"},
		{"another runtime's section", "workers: [{name: a, kubernetes: {namespace: b}}]", "its runtime is runc, and the section kubernetes is of another"},
		{"bad pod security", "workers: [{name: a, runtime: kubernetes, kubernetes: {pod-security: none}}]", "the field pod-security: it should be one of restricted, baseline"},
		{"bad platform", "workers: [{name: a, platform: windows}]", `its runtime runc runs the platform linux, and not "windows"`},
		{"below 0", "workers: [{name: a, max-active-tasks: -1}]", "max-active-tasks is below 0"},
		{"worker-name", "worker-name: b\nworkers: [{name: a}]", "there are workers, so that worker-name has no meaning"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := parse(t, nil, nil, test.file+"\n"); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want something with %q", err, test.want)
			}
		})
	}
}

func TestStateDirectoriesInEachOther(t *testing.T) {
	for _, dir := range []string{"/data/workers/a", "/data/workers/a/b", "/data/workers", "/data/workers/./a"} {
		s, err := parse(t, nil, nil, "workers: [{name: a}, {name: b, runc: {state-dir: "+dir+"}}]\n")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.placeWorkers("/data/workers"); err == nil || !strings.Contains(err.Error(), "set state-dir of one of them") {
			t.Errorf("%s: got %v", dir, err)
		}
	}
}

func TestUnknownPlacementStrategy(t *testing.T) {
	s, err := parse(t, []string{"--container-placement-strategy", "best"}, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.config(); err == nil || !strings.Contains(err.Error(), `no placement strategy is called "best"`) {
		t.Errorf("got %v", err)
	}
}

// What one worker has opened is closed when the next cannot be.
func TestWorkerThatDoesNotOpen(t *testing.T) {
	dir := shortDir(t)
	config := filepath.Join(dir, "midge.yml")
	writeFile(t, config, "workers: [{name: one}, {name: two, runc: {runtime-path: /none/runc}}]\n")
	wantFailure(t, dir, program(t, dir, "--config", config), "open the worker two: the OCI runtime /none/runc cannot be run")
}

func TestTagTemplates(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gpu=1.yaml")
	if err := os.WriteFile(file, []byte("spec: {}"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := parse(t, nil, nil, "workers: [{name: a, runtime: kubernetes, kubernetes: {tag-template: [gpu="+file+", none]}}]\n")
	if err != nil {
		t.Fatal(err)
	}
	named := s.workers[0].kubernetes.tagTemplates
	if templates, err := readTagTemplates(named[:1]); err != nil || string(templates["gpu"]) != "spec: {}" {
		t.Errorf("it gave %q, %v", templates, err)
	}
	for want, named := range map[string][]string{
		`tag-template is "none": it should be TAG=FILE`: named,
		"two tag-templates of the tag gpu":              {named[0], named[0]},
		"read the pod template of the tag gpu":          {"gpu=" + file + ".not"},
	} {
		if _, err := readTagTemplates(named); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gave %v, want %q", named, err, want)
		}
	}
}

// The settings that deploy/kubernetes has are settings of this program.
func TestDeployedSettings(t *testing.T) {
	text, err := os.ReadFile("../../deploy/kubernetes/midge.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := parse(t, nil, map[string]string{"MIDGE_ADD_LOCAL_USER": "ann:secret"}, string(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.workers) != 1 || s.workers[0].runtime != runtimeKubernetes || s.workers[0].kubernetes.Owner != "midge-data" {
		t.Errorf("the workers are %+v", s.workers)
	}
}
