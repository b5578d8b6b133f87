package endtoend

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Whatever became of a task, nothing of its container stays: no mount, cgroup,
// process, network namespace, address or directory.
func TestNothingOfATaskIsLeft(t *testing.T) {
	s := startServer(t, "--gc-interval", "100ms", "--gc-grace", "0s", "--hold-failed", "0s")
	var before map[string][]string
	// The namespaces in reserve are made after the server has begun to serve, and each
	// collection of images has a directory while it lasts.
	eventually(t, "the reserve of namespaces is full", func() error {
		before = s.inventory()
		if reserve := before["namespaces"][0]; reserve != fullReserve || len(before["processes"]) > 0 || len(before["images/tmp"]) > 0 {
			return fmt.Errorf("there are %s, the processes %q, and images being collected in %q",
				reserve, before["processes"], before["images/tmp"])
		}
		return nil
	})
	rest := "inputs: [{name: src}]\noutputs: [{name: out}]\ncaches: [{path: cache}]\ncontainer_limits: {disk: 16MB}\n"
	s.write(map[string]string{"src/file": "text\n"})
	tasks := []struct {
		name, script string
		status       int
		words        []string
	}{
		{"success", "echo kept > cache/file; (sleep 1000000 &); cp src/file out/", 0, nil},
		{"failure", "echo x > src/new; (setsid sleep 1000000 &); exit 3", 3, nil},
		{"killed", "kill -9 $$", 137, nil},
		{"killed for disk space", "head -c 30000000 /dev/zero >out/file; sleep 1000000", 137, nil},
	}
	for _, task := range tasks {
		s.midge("execute", "-c", s.script(task.name, task.script, rest), "-i", "src=src").want(t, task.status)
	}
	broken := map[string]string{
		"no-executable": "platform: linux\nrun: {path: /no/such}\n",
		"no-directory":  "platform: linux\nrun: {path: sh, dir: no/such}\n",
		"no-user":       "platform: linux\nrun: {path: sh, user: nobody-at-all}\n",
		"no-image":      "platform: linux\nimage_resource: {type: registry-image, source: {repository: \"127.0.0.1:1/none\"}}\nrun: {path: sh}\n",
		"no-rootfs":     "platform: linux\nrootfs_uri: raw:///no/such\nrun: {path: sh}\n",
	}
	for name, text := range broken {
		s.midge("execute", "-c", s.task(name, text)).want(t, 2)
	}
	s.midge("execute", "-c", s.script("abort", "echo begun; sleep 1000000", ""), "--background").want(t, 0)
	aborted := strconv.Itoa(len(tasks) + len(broken) + 1)
	eventually(t, "the task runs", func() error {
		if r := s.midge("workers", "--json"); !strings.Contains(r.stdout, `"active_tasks": 1`) {
			return errors.New(r.stdout)
		}
		return nil
	})
	for kind, during := range s.inventory() {
		if slices.Contains([]string{"processes", "cgroups", "containers"}, kind) && len(during) == 0 {
			t.Errorf("while a task runs it has no %s", kind)
		}
	}
	s.midge("abort-build", "-b", aborted).want(t, 0)
	s.midge("watch", "-b", aborted).want(t, 3)
	eventually(t, "nothing of the tasks is left", func() error {
		after := s.inventory()
		for kind, was := range before {
			if is := after[kind]; !slices.Equal(is, was) {
				return fmt.Errorf("%s: there were %q, and there are %q", kind, was, is)
			}
		}
		return nil
	})
}

// inventory is what a server has on the machine, by kind.
func (s *server) inventory() map[string][]string {
	s.t.Helper()
	state := s.path("data/workers")
	has := map[string][]string{
		"processes":  s.processes(),
		"namespaces": {s.namespacesInReserve()},
		"mounts":     nil,
		"cgroups":    cgroups(state),
	}
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mounts", s.process.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, s.dir) {
			has["mounts"] = append(has["mounts"], line)
		}
	}
	for _, kind := range []string{"containers", "volumes", "images/images", "images/layers", "images/tmp"} {
		names, err := filepath.Glob(filepath.Join(state, kind, "*"))
		if err != nil {
			s.t.Fatal(err)
		}
		has[kind] = names
	}
	return has
}

const fullReserve = "an address each"

// namespacesInReserve tells whether the server has as many namespaces in advance
// as it wants, and an address noted for each of these and no other.
func (s *server) namespacesInReserve() string {
	s.t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", s.process.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	open := 0
	for _, file := range files {
		if target, err := os.Readlink(file); err == nil && strings.HasPrefix(target, "net:[") {
			open++
		}
	}
	addresses, err := filepath.Glob(s.path("data/workers/network/*/10.*"))
	if err != nil {
		s.t.Fatal(err)
	}
	if open == len(addresses) {
		return fullReserve
	}
	return fmt.Sprintf("%d open, %d addresses", open, len(addresses))
}

// processes lists the server's but itself.
func (s *server) processes() []string {
	s.t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		s.t.Fatal(err)
	}
	var found []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil && bytes.Contains(text, []byte(s.dir)) && filepath.Base(filepath.Dir(file)) != strconv.Itoa(s.process.Process.Pid) {
			found = append(found, string(bytes.ReplaceAll(text, []byte{0}, []byte{' '})))
		}
	}
	return found
}

// cgroups lists those of the containers of a worker's state directory.
func cgroups(state string) []string {
	sum := sha256.Sum256([]byte(state))
	prefix := fmt.Sprintf("midge-%x-", sum[:6])
	var found []string
	// What goes meanwhile is another's.
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && strings.HasPrefix(entry.Name(), prefix) {
			found = append(found, path)
		}
		return nil
	})
	return found
}
