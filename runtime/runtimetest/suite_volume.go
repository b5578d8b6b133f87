package runtimetest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"midge/runtime"
)

// streamOut gives the entries of what an artifact has at a path.
func streamOut(t *testing.T, artifact runtime.Artifact, path string) []entry {
	t.Helper()
	stream, err := artifact.StreamOut(testContext(t), path)
	check(t, err)
	return readTar(t, stream)
}

// wantNoStream requires StreamOut to give a *runtime.NotFoundError.
func wantNoStream(t *testing.T, artifact runtime.Artifact, path string) {
	t.Helper()
	stream, err := artifact.StreamOut(testContext(t), path)
	wantNotFound(t, err, fmt.Sprintf("StreamOut of %q", path))
	if err == nil {
		stream.Close()
	}
}

// sampleTree is a tree with something of every kind, in the order of its stream.
var sampleTree = []entry{
	tarDir("bin", 0o755),
	tarFile("bin/tool", 0o755, "#!/bin/sh\n"),
	tarDir("empty", 0o700),
	tarFile("empty-file", 0o600, ""),
	tarSymlink("link", "bin/tool"),
	tarSymlink("outside", "/etc/passwd"),
	tarFile("plain", 0o644, "contents\n"),
	tarFile("read-only", 0o444, "do not write"),
	tarLink("second-name", "plain"),
	tarFile("ünï côdé", 0o640, "\x00\xff"),
}

var volumeTests = map[string]func(*suite, *testing.T){
	"IsEmptyAtFirst": func(s *suite, t *testing.T) {
		equal(t, "the tree", listing(streamOut(t, s.volume(t), ".")), "")
	},
	"Handle": func(s *suite, t *testing.T) {
		handle := s.handle("volume")
		volume, err := s.worker.CreateVolume(testContext(t), handle)
		check(t, err)
		destroyLater(t, volume)
		equal(t, "the handle", volume.Handle(), handle)
		info, err := volume.Info(testContext(t))
		check(t, err)
		equal(t, "the info", info, runtime.VolumeInfo{Handle: handle, Type: "artifact"})
		_, err = s.worker.CreateVolume(testContext(t), handle)
		if err == nil {
			t.Error("a handle that exists gave no error")
		}
	},
	"TreeComesBack": func(s *suite, t *testing.T) {
		volume := s.volume(t)
		check(t, volume.StreamIn(testContext(t), ".", tarOf(t, sampleTree...)))
		entries := streamOut(t, volume, ".")
		equal(t, "the tree", listing(entries), listing(sampleTree))
		for _, entry := range entries {
			if entry.Uid != 0 || entry.Gid != 0 || entry.Uname != "" || entry.Gname != "" {
				t.Errorf("the stream names the owner of %q", entry.Name)
			}
			top := strings.Trim(entry.Name, "./") == ""
			if entry.Typeflag != tar.TypeSymlink && !top && !entry.ModTime.Equal(longAgo) {
				t.Errorf("the time of %q is %v, want %v", entry.Name, entry.ModTime, longAgo)
			}
		}
	},
	"StreamIsStable": func(s *suite, t *testing.T) {
		volume := s.volume(t)
		check(t, volume.StreamIn(testContext(t), ".", tarOf(t, sampleTree...)))
		var streams [2][]byte
		for i := range streams {
			stream, err := volume.StreamOut(testContext(t), ".")
			check(t, err)
			streams[i], err = io.ReadAll(stream)
			check(t, err)
			check(t, stream.Close())
		}
		if !bytes.Equal(streams[0], streams[1]) {
			t.Error("two streams of one tree differ")
		}
	},
	"PartsOfATree": func(s *suite, t *testing.T) {
		volume := s.volume(t)
		check(t, volume.StreamIn(testContext(t), ".", tarOf(t,
			tarDir("a", 0o755), tarDir("a/b", 0o755), tarFile("a/b/file", 0o644, "deep"), tarFile("a/top", 0o600, "top"),
			tarSymlink("to-file", "a/top"), tarSymlink("to-dir", "a/b"))))
		for path, want := range map[string]string{
			"a":           "b dir 755\nb/file 0 644 \"deep\"\ntop 0 600 \"top\"\n",
			"a/b":         "file 0 644 \"deep\"\n",
			"./a/b/":      "file 0 644 \"deep\"\n",
			"a/top":       "top 0 600 \"top\"\n",
			"a/b/file":    "file 0 644 \"deep\"\n",
			"to-dir/file": "file 0 644 \"deep\"\n",
			"to-dir":      "file 0 644 \"deep\"\n",
			"to-file":     "to-file 0 600 \"top\"\n",
		} {
			equal(t, "the tree at "+path, listing(streamOut(t, volume, path)), want)
		}
	},
	"NothingAtThePath": func(s *suite, t *testing.T) {
		volume := s.volume(t)
		check(t, volume.StreamIn(testContext(t), ".", tarOf(t,
			tarFile("file", 0o644, ""), tarSymlink("up", ".."), tarSymlink("etc", "/etc"), tarSymlink("passwd", "../../../etc/passwd"),
			tarSymlink("loop", "loop"), tarSymlink("dangling", "nothing"))))
		for _, path := range []string{
			"nothing", "file/below", "..", "../..", "/", "/etc", "up", "up/x", "etc", "etc/passwd", "passwd", "loop", "dangling",
		} {
			wantNoStream(t, volume, path)
		}
	},
	"StreamInBelow": func(s *suite, t *testing.T) {
		volume := s.volume(t)
		check(t, volume.StreamIn(testContext(t), "a/b", tarOf(t, tarFile("file", 0o644, "1"))))
		check(t, volume.StreamIn(testContext(t), "a", tarOf(t, tarFile("other", 0o644, "2"))))
		check(t, volume.StreamIn(testContext(t), ".", tarOf(t, tarFile("a/b/file", 0o600, "3"))))
		equal(t, "the tree", listing(streamOut(t, volume, ".")),
			"a dir 755\na/b dir 755\na/b/file 0 600 \"3\"\na/other 0 644 \"2\"\n")
	},
	"ManyFiles": func(s *suite, t *testing.T) {
		volume := s.volume(t)
		var entries []entry
		for i := range 600 {
			entries = append(entries, tarFile(fmt.Sprintf("dir-%03d/file-%04d", i/20, i), 0o644, strings.Repeat("x", i)))
		}
		check(t, volume.StreamIn(testContext(t), ".", tarOf(t, entries...)))
		files := 0
		for _, entry := range streamOut(t, volume, ".") {
			if entry.Typeflag == tar.TypeReg {
				files++
			}
		}
		equal(t, "the number of files", files, len(entries))
	},
	"LargeFile": func(s *suite, t *testing.T) {
		volume := s.volume(t)
		contents := string(randomBytes(6<<20)) + strings.Repeat("\x00", 1<<20) + "end"
		check(t, volume.StreamIn(testContext(t), ".", tarOf(t, tarFile("large", 0o644, contents))))
		entries := streamOut(t, volume, "large")
		if len(entries) != 1 || entries[0].contents != contents {
			t.Error("the file came back as another")
		}
	},
	"IsFound": func(s *suite, t *testing.T) {
		volume := s.volume(t)
		check(t, volume.StreamIn(testContext(t), ".", tarOf(t, tarFile("file", 0o644, "found"))))
		found, err := s.worker.LookupVolume(testContext(t), volume.Handle())
		check(t, err)
		equal(t, "the tree", listing(streamOut(t, found, ".")), "file 0 644 \"found\"\n")
		if !s.hasVolume(t, volume.Handle()) {
			t.Error("the list of volumes lacks it")
		}
	},
	"Destroy": func(s *suite, t *testing.T) {
		volume := s.volume(t)
		check(t, volume.Destroy(testContext(t)))
		check(t, volume.Destroy(testContext(t)))
		_, err := s.worker.LookupVolume(testContext(t), volume.Handle())
		wantNotFound(t, err, "LookupVolume")
		if s.hasVolume(t, volume.Handle()) {
			t.Error("the list of volumes still has it")
		}
		wantNoStream(t, volume, ".")
		wantNotFound(t, volume.StreamIn(testContext(t), ".", tarOf(t, sampleTree...)), "StreamIn")
		_, err = volume.Info(testContext(t))
		wantNotFound(t, err, "Info")
	},
	"StreamInEndsWithItsContext": func(s *suite, t *testing.T) {
		ctx, cancel := context.WithCancel(testContext(t))
		r, w := io.Pipe()
		defer r.Close()
		go func() {
			w.Write(tarBytes(t, tarFile("file", 0o644, "x"))[:1024])
			cancel()
			w.CloseWithError(ctx.Err())
		}()
		if err := s.volume(t).StreamIn(ctx, ".", r); !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v, want %v", err, context.Canceled)
		}
	},
	"StreamOutEndsWithItsContext": func(s *suite, t *testing.T) {
		volume := s.volume(t)
		check(t, volume.StreamIn(testContext(t), ".", tarOf(t, tarFile("large", 0o644, string(randomBytes(8<<20))))))
		ctx, cancel := context.WithCancel(testContext(t))
		stream, err := volume.StreamOut(ctx, ".")
		check(t, err)
		defer stream.Close()
		_, err = io.ReadFull(stream, make([]byte, 4096))
		check(t, err)
		cancel()
		if _, err := io.Copy(io.Discard, stream); err == nil {
			t.Error("a stream of 8 MiB went on to its end after its context")
		}
	},
	"StreamOutClosedEarly": func(s *suite, t *testing.T) {
		volume := s.volume(t)
		check(t, volume.StreamIn(testContext(t), ".", tarOf(t, tarFile("large", 0o644, string(randomBytes(8<<20))))))
		stream, err := volume.StreamOut(testContext(t), ".")
		check(t, err)
		check(t, stream.Close())
		check(t, volume.Destroy(testContext(t)))
	},
	"ManyAtOnce": func(s *suite, t *testing.T) {
		volume := s.volume(t)
		ctx := testContext(t)
		errs := make(chan error)
		for i := range 10 {
			go func() {
				errs <- volume.StreamIn(ctx, fmt.Sprintf("part-%d", i), tarOf(t, tarFile("file", 0o644, fmt.Sprint(i))))
			}()
		}
		for range 10 {
			check(t, <-errs)
		}
		for i := range 10 {
			equal(t, "a part", listing(streamOut(t, volume, fmt.Sprintf("part-%d", i))), fmt.Sprintf("file 0 644 %q\n", fmt.Sprint(i)))
		}
	},
}

func (s *suite) hasVolume(t *testing.T, handle string) bool {
	t.Helper()
	_, ok := s.volumeInfo(t, handle)
	return ok
}

// volumeInfo gives what the list of volumes says of one.
func (s *suite) volumeInfo(t *testing.T, handle string) (runtime.VolumeInfo, bool) {
	t.Helper()
	infos, err := s.worker.Volumes(testContext(t))
	check(t, err)
	for _, info := range infos {
		if info.Handle == handle {
			return info, true
		}
	}
	return runtime.VolumeInfo{}, false
}
