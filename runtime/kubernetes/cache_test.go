//go:build cluster

package kubernetes_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"midge/runtime"
	"midge/runtime/kubernetes"
)

// Task caches are where pods share them: what the last has kept the next ones find, each
// as it was when they began, and no byte of it is with the server.
func TestSharedTaskCaches(t *testing.T) {
	t.Parallel()
	withEachCache(t, func(t *testing.T, options kubernetes.Options) {
		worker := newWorker(t, options)
		with := func(handle, key string) runtime.Container {
			spec := newSpec(handle)
			spec.Caches = []runtime.Cache{{Key: key, Path: "cache"}}
			return newContainer(t, worker, spec)
		}
		says := func(container runtime.Container, id, script, want string) {
			t.Helper()
			if got := output(t, begin(t, container, id, script)); got != want {
				t.Errorf("%s: the output is %q, want %q", id, got, want)
			}
		}
		keep := func(container runtime.Container) {
			t.Helper()
			if err := container.KeepCaches(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		const key, content = "team/task/cache", "content of a cache, which the server never sees"
		first := with("first", key)
		says(first, "task", "ls cache; umask 077; echo '"+content+"' >cache/file; touch -d 2001-02-03 cache/old; ls -A /midge-cache", "ls: /midge-cache: No such file or directory\n")
		keep(first)
		one := with("one", key)
		says(one, "task", "cat cache/file; stat -c '%y %a' cache/old | cut -c 1-10; echo one >cache/file; echo x >cache/of-one", content+"\n2001-02-03\n")
		isNowhere(t, options.StateDir, content)
		if options.Cache != kubernetes.CacheNode || options.Security != kubernetes.SecurityRestricted {
			return // the rest is the same
		}
		other := with("other", key)
		says(other, "task", "cat cache/file; ls cache; echo other >cache/file", content+"\nfile\nold\n")
		keep(one)
		says(other, "again", "cat cache/file; ls cache", "other\nfile\nold\n")
		keep(other)
		says(with("another-key", "team/task/cache2"), "task", "ls cache", "")

		// A server that was started anew finds it, and its volume, which is of the pods alone.
		worker = newWorker(t, options)
		says(with("last", key), "task", "cat cache/file; ls cache", "other\nfile\nold\n")
		volumes, err := worker.Volumes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		listed := 0
		for _, volume := range volumes {
			if volume.Type != "cache" {
				continue
			}
			listed++
			if volume.CacheKey != key {
				t.Errorf("the cache %+v is listed", volume)
			}
			found, err := worker.LookupVolume(t.Context(), volume.Handle)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := found.StreamOut(t.Context(), "."); err == nil || !strings.Contains(err.Error(), "pods") {
				t.Errorf("reading it gave %v", err)
			}
		}
		if listed != 1 {
			t.Errorf("%d caches are listed", listed)
		}
		if n, err := worker.ClearCaches(t.Context(), "team/task"); err != nil || n != 1 {
			t.Errorf("%d caches were cleared, %v", n, err)
		}
		says(with("cleared", key), "task", "ls cache", "")
		keep(other) // was there before, and keeps what it has
		says(with("kept", key), "task", "cat cache/file", "other\n")
	})
}

// isNowhere requires that no file below a directory has a text.
func isNowhere(t *testing.T, dir, text string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if strings.Contains(string(b), text) {
			t.Errorf("%s has %q", path, text)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// What one pod has made another is given by its content: nothing of it where they share
// a cache, and what that lacks where they do not.
func TestVolumesFromPodToPod(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		cache func(*testing.T, *kubernetes.Options)
		sent  bool
	}{
		"node": {onNode, false},
		"none": {func(*testing.T, *kubernetes.Options) {}, true},
		// The second pod is on a node that the first is not on, as it were.
		"nodes": {onNode, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := newOptions(t)
			test.cache(t, &options)
			f := newFront(t, "")
			options.Kubeconfig = f.kubeconfig
			worker := newWorker(t, options)
			spec := newSpec("first")
			spec.Outputs = []runtime.Output{{Path: "out"}}
			first := newContainer(t, worker, spec)
			// What cannot be compressed, so that it is seen when it is sent.
			script := "head -c 4000000 /dev/urandom >out/large; mkdir out/dir; echo text >out/dir/file; chmod 700 out/dir/file; touch -d 2001-02-03 out/dir/file; sha256sum <out/large"
			sum := output(t, begin(t, first, "task", script))
			volume, err := first.Volume(t.Context(), "out")
			if err != nil {
				t.Fatal(err)
			}
			if name == "nodes" {
				onNode(t, &options)
				options.Name, options.StateDir = "elsewhere", t.TempDir()
				worker = newWorker(t, options)
			}
			if !worker.Takes(volume) {
				t.Error("the volume is not taken as it is")
			}
			before := f.bytes.Load()
			spec = newSpec("second")
			spec.Inputs = []runtime.Input{{Artifact: volume, Path: "in"}}
			second := newContainer(t, worker, spec)
			script = "sha256sum <in/large; cat in/dir/file; stat -c '%a %y' in/dir/file | cut -c 1-14"
			if got, want := output(t, begin(t, second, "task", script)), sum+"text\n700 2001-02-03\n"; got != want {
				t.Errorf("the input is %q, want %q", got, want)
			}
			if sent := f.bytes.Load() - before; sent > 4_000_000 != test.sent {
				t.Errorf("%d bytes were sent", sent)
			}
		})
	}
}

// A volume that cannot be known by its content goes from pod to pod all the same.
func TestVolumeWithASocket(t *testing.T) {
	t.Parallel()
	options := newOptions(t)
	onNode(t, &options)
	worker := newWorker(t, options)
	spec := newSpec("first")
	spec.Outputs = []runtime.Output{{Path: "out"}}
	first := newContainer(t, worker, spec)
	await(t, begin(t, first, "task", "mkfifo out/pipe; echo text >out/file; echo done; read line"), "done")
	volume, err := first.Volume(t.Context(), "out")
	if err != nil {
		t.Fatal(err)
	}
	spec = newSpec("second")
	spec.Inputs = []runtime.Input{{Artifact: volume, Path: "in"}}
	if got := output(t, begin(t, newContainer(t, worker, spec), "task", "ls in")); got != "file\n" {
		t.Errorf("the input has %q", got)
	}
}
