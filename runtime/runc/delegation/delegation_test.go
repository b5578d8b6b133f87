package delegation

import (
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// These use directories like the kernel's; TestDelegatedCgroup of package runc has the
// kernel itself.

const pid = 42

// makeCgroup makes a directory like a cgroup's below top.
func makeCgroup(t *testing.T, top, cgroup, controllers, processes string) {
	t.Helper()
	dir := filepath.Join(top, cgroup)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"cgroup.controllers": controllers, "cgroup.procs": processes, "cgroup.subtree_control": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTake(t *testing.T) {
	for _, test := range []struct {
		name, own, controllers, processes string
		want                              Delegation
	}{
		{"everything", "/user/a.scope", "cpuset cpu io memory hugetlb pids\n", "42\n",
			Delegation{"/user/a.scope", []string{"cpu", "io", "memory", "pids"}}},
		{"not the processors", "/user/a.scope", "memory pids\n", "42\n",
			Delegation{"/user/a.scope", []string{"memory", "pids"}}},
		{"the top of a namespace", "/", "memory\n", "42\n", Delegation{"/", []string{"memory"}}},
		{"again", "/a.scope/midge-server", "memory\n", "", Delegation{"/a.scope", []string{"memory"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			top := t.TempDir()
			makeCgroup(t, top, test.want.Cgroup, test.controllers, test.processes)
			makeCgroup(t, top, filepath.Join(test.want.Cgroup, leaf), "", "")
			got, err := take(top, test.own, pid)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("it took %+v, want %+v", got, test.want)
			}
			for name, want := range map[string]string{
				"midge-server/cgroup.procs": strconv.Itoa(pid),
				"cgroup.subtree_control":    "+" + strings.Join(test.want.Controllers, " +"),
			} {
				if content, err := os.ReadFile(filepath.Join(top, got.Cgroup, name)); err != nil || string(content) != want {
					t.Errorf("%s has %q (%v), want %q", name, content, err, want)
				}
			}
			for _, controller := range []string{"cpu", "memory", "cpuset"} {
				if want := strings.Contains(strings.Join(test.want.Controllers, " ")+" ", controller+" "); got.Has(controller) != want {
					t.Errorf("that it has %s is %v", controller, !want)
				}
			}
		})
	}
}

// What is not delegated stays as it is.
func TestTakeRefuses(t *testing.T) {
	for _, test := range []struct {
		name, controllers, processes, missing, want string
	}{
		{"no controllers", "cpuset hugetlb\n", "42\n", "", "has none of the controllers cpu, io, memory, pids"},
		{"other processes", "memory\n", "41\n42\n", "", "has other processes too, such as 41"},
		{"processes that cannot be moved", "memory\n", "42\n", "cgroup.procs", "is not delegated to its user"},
		{"controllers that cannot be given", "memory\n", "42\n", "cgroup.subtree_control", "is not delegated to its user"},
	} {
		t.Run(test.name, func(t *testing.T) {
			top := t.TempDir()
			makeCgroup(t, top, "/a.scope", test.controllers, test.processes)
			if test.missing != "" {
				if err := os.Remove(filepath.Join(top, "a.scope", test.missing)); err != nil {
					t.Fatal(err)
				}
			}
			got, err := take(top, "/a.scope", pid)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("it took %+v (%v), want an error with %q", got, err, test.want)
			}
			if _, err := os.Lstat(filepath.Join(top, "a.scope", leaf)); err == nil {
				t.Error("it has made a cgroup")
			}
		})
	}
}

func TestParseMemberships(t *testing.T) {
	for content, want := range map[string]string{
		"0::/\n":                   "/",
		"0::/user.slice/a.scope\n": "/user.slice/a.scope",
		"1:name=systemd:/x\n0::/a": "/a",
		"0::/../other\n":           "",
		"0::/a/../../other\n":      "",
		"0::\n":                    "",
		"2:memory:/x\n":            "",
		"":                         "",
	} {
		got, err := parseMemberships(content)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("of %q it is in %q (%v), want %q", content, got, err, want)
		}
	}
}

func FuzzParseMemberships(f *testing.F) {
	f.Add("0::/user.slice/a.scope\n")
	f.Add("12:pids:/x\n0::/../y\n")
	f.Fuzz(func(t *testing.T, content string) {
		own, err := parseMemberships(content)
		if err == nil && filepath.Join("/top", own) != "/top"+strings.TrimSuffix(own, "/") {
			t.Errorf("%q is not below the top", own)
		}
	})
}
