//go:build linux

package usage

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"midge/api"
	"midge/test/golden"
)

const (
	v1     = "testdata/v1"
	v2     = "testdata/v2"
	netDev = "testdata/proc/42/net/dev"
)

// pressureOnly is what a hybrid set-up has in its unified hierarchy.
func pressureOnly(t *testing.T) string {
	directory := t.TempDir()
	for _, name := range []string{"cpu.pressure", "memory.pressure", "io.pressure"} {
		if err := os.WriteFile(filepath.Join(directory, name), testdata(t, "v2/"+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

func TestSampleOfEachHierarchy(t *testing.T) {
	for _, test := range []struct {
		name     string
		location Location
	}{
		{"unified", Location{Unified: v2, NetDev: netDev}},
		{"v1", Location{CPU: v1, CPUAccounting: v1, Memory: v1, BlockIO: v1, PIDs: v1, NetDev: netDev, Proc: "testdata/proc"}},
		{"hybrid", Location{Unified: pressureOnly(t), CPU: v1, CPUAccounting: v1, Memory: v1, BlockIO: v1, PIDs: v1, NoNetwork: "it shares the machine's network", Proc: "testdata/proc"}},
		{"memory alone", Location{Memory: v1, NoNetwork: "it shares the machine's network"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			group, err := Open(test.location)
			if err != nil {
				t.Fatal(err)
			}
			defer group.Close()
			sample, err := group.Sample(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			limits, err := group.Limits()
			if err != nil {
				t.Fatal(err)
			}
			sample.Timestamp = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			text, err := json.MarshalIndent(api.ResourceUsage{Samples: []api.Sample{sample}, Limits: &limits, Missing: group.Missing()}, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, strings.ReplaceAll(test.name, " ", "-")+".json", string(text)+"\n")
		})
	}
}

// A controller that is off is one reason, not one for each of its files.
func TestAControllerThatIsOffIsSaidOnce(t *testing.T) {
	directory := pressureOnly(t)
	if err := os.WriteFile(filepath.Join(directory, "cpu.stat"), testdata(t, "v2/cpu.stat"), 0o600); err != nil {
		t.Fatal(err)
	}
	group, err := Open(Location{Unified: directory, NoNetwork: "it shares the machine's network"})
	if err != nil {
		t.Fatal(err)
	}
	defer group.Close()
	want := map[string]string{
		"memoryStat": noMemoryController, "ioStat": noIOController, "pidsStat": noPIDsController, "netStat": "it shares the machine's network",
	}
	if diff := cmp.Diff(want, group.Missing()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := missingReason(group.Missing(), "memoryStat.peak"); got != noMemoryController {
		t.Errorf("the peak is missing because %q", got)
	}
}

func TestOpenOfNoGroupFails(t *testing.T) {
	if group, err := Open(Location{Unified: filepath.Join(t.TempDir(), "gone"), NoNetwork: "none"}); err == nil {
		group.Close()
		t.Fatal("a group that is not there was opened")
	}
}

func TestOOMKillsBelowAV1GroupCount(t *testing.T) {
	top := t.TempDir()
	for path, kills := range map[string]string{"": "1", "a": "2", "a/b": "3", "c": "0"} {
		directory := filepath.Join(top, path)
		if err := os.MkdirAll(directory, 0o700); err != nil {
			t.Fatal(err)
		}
		text := "oom_kill_disable 0\nunder_oom 0\noom_kill " + kills + "\n"
		if err := os.WriteFile(filepath.Join(directory, "memory.oom_control"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(top, "memory.stat"), testdata(t, "v1/memory.stat"), 0o600); err != nil {
		t.Fatal(err)
	}
	group, err := Open(Location{Memory: top, NoNetwork: "none"})
	if err != nil {
		t.Fatal(err)
	}
	defer group.Close()
	sample, err := group.Sample(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := *sample.MemoryStat.OomKillEvents; got != 6 {
		t.Errorf("%d oom kills, want 6", got)
	}
}

func TestLocate(t *testing.T) {
	memberships, err := parseMemberships(testdata(t, "proc/42/cgroup"))
	if err != nil {
		t.Fatal(err)
	}
	hierarchies, err := parseHierarchies(testdata(t, "proc/mountinfo"))
	if err != nil {
		t.Fatal(err)
	}
	for controller, want := range map[string]string{
		"":         "/sys/fs/cgroup/unified/midge/c1",
		"cpu":      "/sys/fs/cgroup/cpu,cpuacct/midge/c1",
		"cpuacct":  "/sys/fs/cgroup/cpu,cpuacct/midge/c1",
		"memory":   "/sys/fs/cgroup/memory/midge/c1",
		"blkio":    "/sys/fs/cgroup/blkio/midge/c1",
		"pids":     "/sys/fs/cgroup/pids/midge/c1",
		"cpuset":   "",
		"net_prio": "",
	} {
		if got := hierarchies.directory(controller, memberships); got != want {
			t.Errorf("directory of %q is %q, want %q", controller, got, want)
		}
	}
}

func TestDirectoryBelowAMountThatIsNoTop(t *testing.T) {
	for _, test := range []struct{ root, group, want string }{
		{"/", "/a/b", "/mnt/a/b"},
		{"/a", "/a/b", "/mnt/b"},
		{"/a", "/a", "/mnt"},
		{"/a", "/ab", ""},
		{"/a", "/c", ""},
	} {
		h := hierarchies{"memory": {mountPoint: "/mnt", root: test.root}}
		if got := h.directory("memory", map[string]string{"memory": test.group}); got != test.want {
			t.Errorf("group %s below a mount of %s is in %q, want %q", test.group, test.root, got, test.want)
		}
	}
}

func TestTopGroupIsNobodysOwn(t *testing.T) {
	for _, test := range []struct {
		name  string
		files []string
		want  bool
	}{
		{"v1 top", []string{"cgroup.procs", "release_agent"}, true},
		{"v1 group", []string{"cgroup.procs"}, false},
		{"v2 top", []string{"cgroup.procs", "cgroup.controllers"}, true},
		{"v2 group", []string{"cgroup.procs", "cgroup.controllers", "cgroup.events"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			directory := t.TempDir()
			for _, name := range test.files {
				if err := os.WriteFile(filepath.Join(directory, name), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got := isTop(directory); got != test.want {
				t.Errorf("isTop is %v, want %v", got, test.want)
			}
		})
	}
}
