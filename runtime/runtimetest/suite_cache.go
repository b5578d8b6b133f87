package runtimetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"midge/runtime"
)

// cached gives what changes a spec to have a cache, and more of them at cache-1, cache-2...
func cached(key string, more ...string) func(*runtime.ContainerSpec) {
	return func(spec *runtime.ContainerSpec) {
		spec.Caches = []runtime.Cache{{Key: key, Path: "cache"}}
		for i, key := range more {
			spec.Caches = append(spec.Caches, runtime.Cache{Key: key, Path: fmt.Sprintf("cache-%d", i+1)})
		}
	}
}

// clearLater removes the caches of a key at the end of the test.
func (s *suite) clearLater(t *testing.T, key string) {
	t.Cleanup(func() {
		if _, err := s.worker.ClearCaches(backgroundContext(t), key); err != nil {
			t.Errorf("clear caches: %v", err)
		}
	})
}

var cacheTests = map[string]func(*suite, *testing.T){
	"IsKept": func(s *suite, t *testing.T) {
		key := s.handle("key")
		s.clearLater(t, key)
		first := s.container(t, cached(key))
		equal(t, "what is in it at first", runScript(t, first, "ls -A cache"), "")
		runScript(t, first, "echo kept > cache/file; mkdir cache/dir; chmod 700 cache/dir")
		check(t, first.KeepCaches(testContext(t)))
		check(t, first.Destroy(testContext(t)))
		second := s.container(t, cached(key, s.handle("key")))
		equal(t, "the cache", runScript(t, second, "cat cache/file; ls cache"), "kept\ndir\nfile\n")
		equal(t, "the cache of another key", runScript(t, second, "ls cache-1"), "")
	},
	"IsNotKeptUnasked": func(s *suite, t *testing.T) {
		key := s.handle("key")
		first := s.container(t, cached(key))
		runScript(t, first, "echo dropped > cache/file")
		check(t, first.Destroy(testContext(t)))
		equal(t, "the cache", runScript(t, s.container(t, cached(key)), "ls cache"), "")
	},
	"TwoAtOnce": func(s *suite, t *testing.T) {
		key := s.handle("key")
		s.clearLater(t, key)
		seed := s.container(t, cached(key))
		runScript(t, seed, "echo begin > cache/file")
		check(t, seed.KeepCaches(testContext(t)))
		one, other := s.container(t, cached(key)), s.container(t, cached(key))
		runScript(t, one, "echo one > cache/file; echo x > cache/of-one")
		equal(t, "what the other sees", runScript(t, other, "cat cache/file; ls cache"), "begin\nfile\n")
		check(t, one.KeepCaches(testContext(t)))
		equal(t, "what the other sees", runScript(t, other, "cat cache/file; ls cache"), "begin\nfile\n")
		runScript(t, other, "echo other > cache/file")
		check(t, other.KeepCaches(testContext(t)))
		equal(t, "what the first sees", runScript(t, one, "cat cache/file; ls cache"), "one\nfile\nof-one\n")
		later := s.container(t, cached(key))
		equal(t, "what the last kept", runScript(t, later, "cat cache/file; ls cache"), "other\nfile\n")
	},
	"GoesOnAfterKeeping": func(s *suite, t *testing.T) {
		key := s.handle("key")
		s.clearLater(t, key)
		container := s.container(t, cached(key))
		runScript(t, container, "echo one > cache/file")
		check(t, container.KeepCaches(testContext(t)))
		runScript(t, container, "echo two > cache/file; echo x > cache/more")
		equal(t, "what was kept", runScript(t, s.container(t, cached(key)), "cat cache/file; ls cache"), "one\nfile\n")
		check(t, container.KeepCaches(testContext(t)))
		equal(t, "what was kept", runScript(t, s.container(t, cached(key)), "cat cache/file; ls cache"), "two\nfile\nmore\n")
	},
	"Clear": func(s *suite, t *testing.T) {
		prefix := s.handle("prefix")
		s.clearLater(t, prefix)
		withAll := cached(prefix+"/a", prefix+"/b", prefix+"2/c")
		using := s.container(t, withAll)
		runScript(t, using, "touch cache/file cache-1/file cache-2/file")
		check(t, using.KeepCaches(testContext(t)))
		n, err := s.worker.ClearCaches(testContext(t), prefix+"/")
		check(t, err)
		equal(t, "the number cleared", n, 2)
		equal(t, "what a container that uses one sees", runScript(t, using, "ls cache"), "file\n")
		equal(t, "what is left", runScript(t, s.container(t, withAll), "ls cache/* cache-1/* cache-2/* 2>/dev/null || :"), "cache-2/file\n")
		n, err = s.worker.ClearCaches(testContext(t), prefix+"/")
		check(t, err)
		equal(t, "the number cleared at the second time", n, 0)
	},
	"IsAVolume": func(s *suite, t *testing.T) {
		key := s.handle("key")
		s.clearLater(t, key)
		container := s.container(t, cached(key))
		runScript(t, container, "echo "+key+" > cache/file")
		check(t, container.KeepCaches(testContext(t)))
		infos, err := s.worker.Volumes(testContext(t))
		check(t, err)
		var found []string
		for _, info := range infos {
			if info.Type != "cache" {
				continue
			}
			volume, err := s.worker.LookupVolume(testContext(t), info.Handle)
			var notFound *runtime.NotFoundError
			if errors.As(err, &notFound) {
				continue // Another test has cleared it meanwhile.
			}
			check(t, err)
			if stream, err := volume.StreamOut(testContext(t), "file"); err == nil {
				found = append(found, readTar(t, stream)[0].contents)
			}
		}
		equal(t, "whether the cache is among the volumes", slices.Contains(found, key+"\n"), true)
	},
	"KeyMayBeAnything": func(s *suite, t *testing.T) {
		key := s.handle("key") + "/../ünï \x01'\"$" + string(make([]byte, 300))
		s.clearLater(t, key)
		first := s.container(t, cached(key))
		runScript(t, first, "echo x > cache/file")
		check(t, first.KeepCaches(testContext(t)))
		equal(t, "the cache", runScript(t, s.container(t, cached(key)), "ls cache"), "file\n")
	},
}
