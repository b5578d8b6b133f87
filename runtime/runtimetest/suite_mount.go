package runtimetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"midge/runtime"
)

// fixedArtifact is an artifact of nobody's worker.
type fixedArtifact struct {
	handle string
	stream []byte
	err    error
}

func (a fixedArtifact) Handle() string { return a.handle }

func (a fixedArtifact) StreamOut(_ context.Context, path string) (io.ReadCloser, error) {
	if a.err != nil {
		return nil, a.err
	}
	if path != "." {
		return nil, &runtime.NotFoundError{Kind: "path", Name: path}
	}
	return io.NopCloser(bytes.NewReader(a.stream)), nil
}

var mountTests = map[string]func(*suite, *testing.T){
	"Input": func(s *suite, t *testing.T) {
		volume := s.volume(t)
		check(t, volume.StreamIn(testContext(t), ".", tarOf(t, sampleTree...)))
		container := s.container(t, func(spec *runtime.ContainerSpec) {
			spec.Inputs = []runtime.Input{{Artifact: volume, Path: "src"}, {Artifact: volume, Path: "/absolute/in"}}
		})
		for _, dir := range []string{"src", "/tmp/build/src", "/absolute/in"} {
			equal(t, "the contents", runScript(t, container, "cat "+dir+"/plain"), "contents\n")
		}
		equal(t, "the names", runScript(t, container, `cd src; for name in *; do echo "$name"; done`),
			"bin\nempty\nempty-file\nlink\noutside\nplain\nread-only\nsecond-name\nünï côdé\n")
		mounted, err := container.Volume(testContext(t), "src")
		check(t, err)
		info, err := mounted.Info(testContext(t))
		check(t, err)
		equal(t, "the volume below", info.ParentHandle, volume.Handle())
		equal(t, "the type", info.Type, "container")
		equal(t, "the path", info.Path, "/tmp/build/src")
	},
	"InputHasItsModesAndTimes": func(s *suite, t *testing.T) {
		volume := s.volume(t)
		check(t, volume.StreamIn(testContext(t), ".", tarOf(t, sampleTree...)))
		container := s.container(t, func(spec *runtime.ContainerSpec) { spec.Inputs = []runtime.Input{{Artifact: volume, Path: "in"}} })
		equal(t, "modes and times", runScript(t, container, "cd in; stat -c '%n %a %Y' bin bin/tool empty plain read-only"),
			"bin 755 981173106\nbin/tool 755 981173106\nempty 700 981173106\nplain 644 981173106\nread-only 444 981173106\n")
	},
	"InputIsCopiedOnWrite": func(s *suite, t *testing.T) {
		volume := s.volume(t)
		check(t, volume.StreamIn(testContext(t), ".", tarOf(t, tarFile("file", 0o644, "old"), tarFile("gone", 0o644, "x"), tarFile("dir/deep", 0o644, "y"))))
		before := listing(streamOut(t, volume, "."))
		withInput := func(spec *runtime.ContainerSpec) { spec.Inputs = []runtime.Input{{Artifact: volume, Path: "in"}} }
		one, other := s.container(t, withInput), s.container(t, withInput)
		runScript(t, one, "echo new > in/file; rm in/gone; echo made > in/made; rm -r in/dir; mkdir in/dir; chmod 600 in/file")
		equal(t, "the writer's view", runScript(t, one, "cat in/file; ls in; ls in/dir"), "new\ndir\nfile\nmade\n")
		equal(t, "another container's view", runScript(t, other, "cat in/file; ls in; ls in/dir"), "olddir\nfile\ngone\ndeep\n")
		equal(t, "the volume", listing(streamOut(t, volume, ".")), before)
		third := s.container(t, withInput)
		equal(t, "a later container's view", runScript(t, third, "ls in"), "dir\nfile\ngone\n")
		// What the container sees is what its volume gives.
		mounted, err := one.Volume(testContext(t), "in")
		check(t, err)
		equal(t, "the writer's volume", listing(streamOut(t, mounted, ".")), "dir dir 755\nfile 0 600 \"new\\n\"\nmade 0 644 \"made\\n\"\n")
	},
	"InputOutlivesItsArtifact": func(s *suite, t *testing.T) {
		volume := s.volume(t)
		check(t, volume.StreamIn(testContext(t), ".", tarOf(t, tarFile("file", 0o644, "kept"))))
		container := s.container(t, func(spec *runtime.ContainerSpec) { spec.Inputs = []runtime.Input{{Artifact: volume, Path: "in"}} })
		check(t, volume.Destroy(testContext(t)))
		equal(t, "the contents", runScript(t, container, "cat in/file"), "kept")
	},
	"InputFromElsewhere": func(s *suite, t *testing.T) {
		artifact := fixedArtifact{handle: "elsewhere", stream: tarBytes(t, sampleTree...)}
		container := s.container(t, func(spec *runtime.ContainerSpec) { spec.Inputs = []runtime.Input{{Artifact: artifact, Path: "in"}} })
		equal(t, "the contents", runScript(t, container, "cat in/plain; cat in/second-name"), "contents\ncontents\n")
	},
	"InputThatCannotBeRead": func(s *suite, t *testing.T) {
		broken := errors.New("the artifact is gone")
		for name, artifact := range map[string]runtime.Artifact{
			"no stream":  fixedArtifact{handle: "broken", err: broken},
			"cut stream": fixedArtifact{handle: "cut", stream: tarBytes(t, sampleTree...)[:700]},
		} {
			spec := s.spec()
			spec.Inputs = []runtime.Input{{Artifact: artifact, Path: "in"}}
			spec.Outputs = []runtime.Output{{Path: "out"}}
			if _, err := s.worker.FindOrCreateContainer(testContext(t), spec); err == nil {
				t.Errorf("%s gave no error", name)
			}
			s.wantNothingOf(t, spec.Handle)
		}
	},
	"Outputs": func(s *suite, t *testing.T) {
		container := s.container(t, func(spec *runtime.ContainerSpec) {
			spec.Outputs = []runtime.Output{{Path: "out"}, {Path: "deep/er/out"}, {Path: "/absolute/out"}}
		})
		for _, path := range []string{"out", "deep/er/out", "/absolute/out"} {
			equal(t, "what is in it at first", runScript(t, container, "ls -A "+path), "")
			runScript(t, container, "echo text > "+path+"/file; mkdir "+path+"/sub; chmod 755 "+path+"/file")
			volume, err := container.Volume(testContext(t), path)
			check(t, err)
			equal(t, "the volume", listing(streamOut(t, volume, ".")), "file 0 755 \"text\\n\"\nsub dir 755\n")
		}
		_, err := container.Volume(testContext(t), "no/such/path")
		wantNotFound(t, err, "Volume")
		_, err = container.Volume(testContext(t), ".")
		wantNotFound(t, err, "Volume")
	},
	"OutputHasItsModesAndTimes": func(s *suite, t *testing.T) {
		container := s.container(t, func(spec *runtime.ContainerSpec) { spec.Outputs = []runtime.Output{{Path: "out"}} })
		runScript(t, container, "cd out; mkdir dir; echo x > file; ln file hard; chmod 640 file; chmod 750 dir; TZ=UTC touch -t 200102030405.06 file dir")
		volume, err := container.Volume(testContext(t), "out")
		check(t, err)
		entries := streamOut(t, volume, ".")
		equal(t, "the tree", listing(entries), "dir dir 750\nfile 0 640 \"x\\n\"\nhard = file\n")
		for _, entry := range entries {
			if name := strings.Trim(entry.Name, "./"); name != "" && !entry.ModTime.Equal(longAgo) {
				t.Errorf("the time of %q is %v, want %v", name, entry.ModTime, longAgo)
			}
		}
	},
	"OverAFile": func(s *suite, t *testing.T) {
		spec := s.spec()
		spec.Outputs = []runtime.Output{{Path: "/etc/passwd"}}
		_, err := s.worker.FindOrCreateContainer(testContext(t), spec)
		wantSpecError(t, err, "an output in the place of a file")
		s.wantNothingOf(t, spec.Handle)
	},
	"OutputsAreWritableByEveryUser": func(s *suite, t *testing.T) {
		container := s.container(t, func(spec *runtime.ContainerSpec) {
			spec.User = "nobody"
			spec.Outputs = []runtime.Output{{Path: "out"}}
		})
		runScript(t, container, "echo text > out/file")
		volume, err := container.Volume(testContext(t), "out")
		check(t, err)
		equal(t, "the volume", listing(streamOut(t, volume, ".")), "file 0 644 \"text\\n\"\n")
	},
	"OutputBecomesInput": func(s *suite, t *testing.T) {
		first := s.container(t, func(spec *runtime.ContainerSpec) { spec.Outputs = []runtime.Output{{Path: "out"}} })
		runScript(t, first, "echo passed on > out/file")
		output, err := first.Volume(testContext(t), "out")
		check(t, err)
		second := s.container(t, func(spec *runtime.ContainerSpec) { spec.Inputs = []runtime.Input{{Artifact: output, Path: "in"}} })
		equal(t, "the contents", runScript(t, second, "cat in/file"), "passed on\n")
		runScript(t, first, "echo later > out/file")
		runScript(t, second, "echo own > in/file")
		equal(t, "the output", listing(streamOut(t, output, ".")), "file 0 644 \"later\\n\"\n")
	},
	"OutputInsideInput": func(s *suite, t *testing.T) {
		volume := s.volume(t)
		check(t, volume.StreamIn(testContext(t), ".", tarOf(t, tarFile("file", 0o644, "x"))))
		container := s.container(t, func(spec *runtime.ContainerSpec) {
			spec.Outputs = []runtime.Output{{Path: "in/out"}}
			spec.Inputs = []runtime.Input{{Artifact: volume, Path: "in"}}
		})
		runScript(t, container, "cat in/file > in/out/copy")
		output, err := container.Volume(testContext(t), "in/out")
		check(t, err)
		equal(t, "the output", listing(streamOut(t, output, ".")), "copy 0 644 \"x\"\n")
		equal(t, "the input's volume", listing(streamOut(t, volume, ".")), "file 0 644 \"x\"\n")
	},
	"VolumesAreFoundByHandle": func(s *suite, t *testing.T) {
		input := s.volume(t)
		var handle string
		container := s.container(t, func(spec *runtime.ContainerSpec) {
			handle = spec.Handle
			spec.Inputs = []runtime.Input{{Artifact: input, Path: "in"}}
			spec.Outputs = []runtime.Output{{Path: "out"}}
			spec.Caches = []runtime.Cache{{Key: s.handle("key"), Path: "cache"}}
		})
		var handles []string
		for _, path := range []string{"in", "out", "cache"} {
			volume, err := container.Volume(testContext(t), path)
			check(t, err)
			_, err = s.worker.LookupVolume(testContext(t), volume.Handle())
			check(t, err)
			info, ok := s.volumeInfo(t, volume.Handle())
			equal(t, "whether the list has the volume of "+path, ok, true)
			equal(t, "its container", info.ContainerHandle, handle)
			equal(t, "its path", info.Path, "/tmp/build/"+path)
			handles = append(handles, volume.Handle())
		}
		check(t, container.Destroy(testContext(t)))
		for _, handle := range handles {
			_, err := s.worker.LookupVolume(testContext(t), handle)
			wantNotFound(t, err, "LookupVolume")
		}
	},
	"StreamIntoAContainer": func(s *suite, t *testing.T) {
		container := s.container(t, func(spec *runtime.ContainerSpec) { spec.Outputs = []runtime.Output{{Path: "out"}} })
		volume, err := container.Volume(testContext(t), "out")
		check(t, err)
		check(t, volume.StreamIn(testContext(t), "sub", tarOf(t, tarFile("file", 0o644, "streamed"))))
		equal(t, "the contents", runScript(t, container, "cat out/sub/file"), "streamed")
	},
	"LinksOfATaskLeadNowhereOutside": func(s *suite, t *testing.T) {
		container := s.container(t, func(spec *runtime.ContainerSpec) { spec.Outputs = []runtime.Output{{Path: "out"}} })
		runScript(t, container, "ln -s /etc out/etc; ln -s ../../../../etc out/up; ln -s /etc/passwd out/passwd; echo own > out/file")
		volume, err := container.Volume(testContext(t), "out")
		check(t, err)
		equal(t, "the tree", listing(streamOut(t, volume, ".")),
			"etc -> /etc\nfile 0 644 \"own\\n\"\npasswd -> /etc/passwd\nup -> ../../../../etc\n")
		for _, path := range []string{"etc/passwd", "up/passwd", "passwd", "etc"} {
			wantNoStream(t, volume, path)
		}
		if err := volume.StreamIn(testContext(t), "etc", tarOf(t, tarFile("escaped", 0o644, "x"))); err == nil {
			t.Error("a stream went through a link that leaves the volume")
		}
	},
	"TwoAtOnePath": func(s *suite, t *testing.T) {
		spec := s.spec()
		spec.Outputs = []runtime.Output{{Path: "same"}, {Path: "/tmp/build/same"}}
		_, err := s.worker.FindOrCreateContainer(testContext(t), spec)
		wantSpecError(t, err, "two outputs at one path")
		s.wantNothingOf(t, spec.Handle)
	},
}
