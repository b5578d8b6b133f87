package runtimetest

import (
	"fmt"
	"strings"
	"testing"

	"midge/api"
	"midge/runtime"
)

// listed says in lines what a container has at a path.
func listed(t *testing.T, container runtime.Container, path string) string {
	t.Helper()
	files, err := container.Files().List(testContext(t), path)
	check(t, err)
	var lines strings.Builder
	for _, f := range files {
		fmt.Fprintf(&lines, "%s %s", f.Name, f.Type)
		switch f.Type {
		case api.FileSymlink:
			fmt.Fprintf(&lines, " %s", f.Target)
		case api.FileRegular:
			fmt.Fprintf(&lines, " %o %d", f.Mode, f.Size)
		default:
			fmt.Fprintf(&lines, " %o", f.Mode)
		}
		lines.WriteByte('\n')
	}
	return lines.String()
}

// changed says in lines what a container has changed.
func changed(t *testing.T, container runtime.Container) string {
	t.Helper()
	changes, err := container.Files().Changes(testContext(t))
	check(t, err)
	var lines strings.Builder
	for _, c := range changes {
		fmt.Fprintf(&lines, "%s %s %s %d\n", c.Change, c.Path, c.Type, c.Size)
	}
	return lines.String()
}

// streamed gives the entries of what a container has at a path.
func streamed(t *testing.T, container runtime.Container, path string) string {
	t.Helper()
	stream, err := container.Files().StreamOut(testContext(t), path)
	check(t, err)
	return listing(readTar(t, stream))
}

var filesTests = map[string]func(*suite, *testing.T){
	"List": func(s *suite, t *testing.T) {
		container := s.container(t, nil)
		runScript(t, container, `mkdir dir; printf 12345 >file; chmod 4750 file; ln -s nothing link`)
		equal(t, "the working directory", listed(t, container, "."), "dir directory 755\nfile file 4750 5\nlink symlink nothing\n")
		equal(t, "the working directory by its path", listed(t, container, "/tmp/build"), listed(t, container, "."))
		equal(t, "an empty directory", listed(t, container, "dir"), "")
		equal(t, "a file", listed(t, container, "/tmp/build/file"), "file file 4750 5\n")
		check(t, container.Files().StreamIn(testContext(t), "dir", tarOf(t, tarFile("old", 0o644, ""))))
		files, err := container.Files().List(testContext(t), "dir")
		check(t, err)
		if got := files[0]; !got.Modified.Equal(longAgo) || got.UID != 0 || got.GID != 0 {
			t.Errorf("the file is described as %+v", got)
		}
	},
	"Stat": func(s *suite, t *testing.T) {
		container := s.container(t, nil)
		runScript(t, container, `mkdir dir; printf 12345 >file; chmod 600 file; ln -s /tmp/build/file link; ln -s dir to-dir; ln -s nothing dangling`)
		for path, want := range map[string]api.File{
			"file":            {Name: "file", Type: api.FileRegular, Mode: 0o600, Size: 5},
			"/tmp/build/link": {Name: "link", Type: api.FileRegular, Mode: 0o600, Size: 5},
			"to-dir":          {Name: "to-dir", Type: api.FileDirectory, Mode: 0o755},
			"/":               {Name: "/", Type: api.FileDirectory, Mode: 0o755},
			"/dev/null":       {Name: "null", Type: api.FileOther, Mode: 0o666},
		} {
			got, err := container.Files().Stat(testContext(t), path)
			check(t, err)
			got.Modified, got.UID, got.GID = want.Modified, want.UID, want.GID
			equal(t, "what is at "+path, got, want)
		}
		for _, path := range []string{"nothing", "file/below", "dangling"} {
			_, err := container.Files().Stat(testContext(t), path)
			wantNotFound(t, err, "Stat of "+path)
		}
	},
	"EverythingIsSeen": func(s *suite, t *testing.T) {
		input := s.volume(t)
		check(t, input.StreamIn(testContext(t), ".", tarOf(t, tarFile("given", 0o644, "given"))))
		container := s.container(t, func(spec *runtime.ContainerSpec) {
			spec.Inputs = []runtime.Input{{Artifact: input, Path: "in"}}
			spec.Outputs = []runtime.Output{{Path: "out"}}
			spec.Caches = []runtime.Cache{{Key: s.handle("key"), Path: "cache"}}
		})
		runScript(t, container, `echo 1 >in/new; echo 12 >out/new; echo 123 >cache/new; echo 1234 >new`)
		equal(t, "the input", listed(t, container, "in"), "given file 644 5\nnew file 644 2\n")
		want := "cache dir 755\ncache/new 0 644 \"123\\n\"\nin dir 755\nin/given 0 644 \"given\"\nin/new 0 644 \"1\\n\"\n" +
			"new 0 644 \"1234\\n\"\nout dir 755\nout/new 0 644 \"12\\n\"\n"
		equal(t, "all of it", streamed(t, container, "."), want)
		if got := listed(t, container, "/etc"); !strings.Contains(got, "passwd file 644 ") {
			t.Errorf("the image's /etc has %s", got)
		}
	},
	"LinksStayInside": func(s *suite, t *testing.T) {
		container := s.common(t)
		runScript(t, container, `mkdir /place dir; echo inside >/place/file
			ln -s /place absolute; ln -s ../../../../../../place/file climbing; ln -s dir/../absolute/file through; ln -s loop loop; ln -s /nothing dangling`)
		for _, path := range []string{"absolute/file", "climbing", "through", "/../../place/file", "dir/../../../place/file"} {
			want := fmt.Sprintf("%s 0 644 \"inside\\n\"\n", path[strings.LastIndex(path, "/")+1:])
			equal(t, "what is at "+path, streamed(t, container, path), want)
		}
		equal(t, "a directory by its link", listed(t, container, "absolute"), "file file 644 7\n")
		check(t, container.Files().StreamIn(testContext(t), "absolute", tarOf(t, tarFile("more", 0o644, "more"))))
		equal(t, "a directory by its link", listed(t, container, "/place"), "file file 644 7\nmore file 644 4\n")
		for _, path := range []string{"loop", "dangling", "dangling/file", "nothing", "through/below"} {
			_, err := container.Files().List(testContext(t), path)
			wantNotFound(t, err, "List of "+path)
			_, err = container.Files().StreamOut(testContext(t), path)
			wantNotFound(t, err, "StreamOut of "+path)
		}
	},
	"NotWhatTheKernelShows": func(s *suite, t *testing.T) {
		container := s.common(t)
		equal(t, "/proc", listed(t, container, "/proc"), "")
		equal(t, "/proc as a stream", streamed(t, container, "/proc"), "")
	},
	"StreamIn": func(s *suite, t *testing.T) {
		container := s.common(t)
		check(t, container.Files().StreamIn(testContext(t), "a/b", tarOf(t, sampleTree...)))
		equal(t, "the tree", streamed(t, container, "/tmp/build/a/b"), listing(sampleTree))
		equal(t, "what a process reads", runScript(t, container, `cat a/b/second-name; a/b/bin/tool && stat -c %a a/b/read-only`), "contents\n444\n")
		check(t, container.Files().StreamIn(testContext(t), ".", tarOf(t, tarDir("a", 0o755), tarFile("a/b/plain", 0o600, "new\n"))))
		equal(t, "what a process reads", runScript(t, container, `cat a/b/plain a/b/second-name`), "new\ncontents\n")
		runScript(t, container, `mkdir private; chmod 1700 private`)
		check(t, container.Files().StreamIn(testContext(t), "private", tarOf(t, tarDir("./", 0o755), tarFile("file", 0o600, ""))))
		equal(t, "the permissions of a directory that was there", runScript(t, container, `stat -c %a private`), "1700\n")
		err := container.Files().StreamIn(testContext(t), ".", tarOf(t, tarFile("../../up", 0o600, "")))
		wantTarError(t, err, "an entry that leaves the directory")
	},
	"OfProcessesThatRunOrNot": func(s *suite, t *testing.T) {
		container := s.container(t, nil)
		task := start(t, container, script(runtime.TaskProcessID, `echo first >file; echo ready; exec sleep 1000`))
		task.await(t, "ready")
		equal(t, "a file of a container that works", streamed(t, container, "file"), "file 0 644 \"first\\n\"\n")
		check(t, container.Stop(testContext(t), 0))
		equal(t, "a file of a container that was stopped", streamed(t, container, "file"), "file 0 644 \"first\\n\"\n")
		check(t, container.Files().StreamIn(testContext(t), ".", tarOf(t, tarFile("file", 0o600, "second"))))
		equal(t, "a file of a container that was stopped", streamed(t, container, "file"), "file 0 600 \"second\"\n")
		check(t, container.Destroy(testContext(t)))
		for what, call := range map[string]func() error{
			"List":      func() error { _, err := container.Files().List(testContext(t), "."); return err },
			"StreamOut": func() error { _, err := container.Files().StreamOut(testContext(t), "."); return err },
			"StreamIn":  func() error { return container.Files().StreamIn(testContext(t), ".", tarOf(t)) },
			"Changes":   func() error { _, err := container.Files().Changes(testContext(t)); return err },
		} {
			wantNotFound(t, call(), what+" of a container that was destroyed")
		}
	},
	"ChangesOfAnInputFromElsewhere": func(s *suite, t *testing.T) {
		if !s.tellsChanges(t) {
			return
		}
		input := s.volume(t)
		check(t, input.StreamIn(testContext(t), ".", tarOf(t, tarFile("kept", 0o644, "kept"), tarFile("removed", 0o644, "removed"))))
		container := s.container(t, func(spec *runtime.ContainerSpec) {
			// What has no other methods does not lie on any worker's machine.
			spec.Inputs = []runtime.Input{{Artifact: struct{ runtime.Artifact }{input}, Path: "in"}}
		})
		runScript(t, container, `rm in/removed; echo 1 >in/new`)
		equal(t, "what is changed", changed(t, container), "added /tmp/build/in/new file 2\nremoved /tmp/build/in/removed file 7\n")
	},
	"NothingIsChangedAtFirst": func(s *suite, t *testing.T) {
		if !s.tellsChanges(t) {
			return
		}
		input := s.volume(t)
		check(t, input.StreamIn(testContext(t), ".", tarOf(t, sampleTree...)))
		container := s.container(t, func(spec *runtime.ContainerSpec) {
			spec.Inputs = []runtime.Input{{Artifact: input, Path: "in"}}
			spec.Outputs = []runtime.Output{{Path: "out"}}
			spec.Caches = []runtime.Cache{{Key: s.handle("key"), Path: "in/empty/cache"}}
		})
		equal(t, "what is changed", changed(t, container), "")
		runScript(t, container, `echo 1 >out/new; echo 1 >in/empty/cache/new; touch in/plain; cp in/plain copy && cp copy in/plain; rm copy`)
		equal(t, "what is changed", changed(t, container), "")
	},
	"Changes": func(s *suite, t *testing.T) {
		if !s.tellsChanges(t) {
			return
		}
		input := s.volume(t)
		check(t, input.StreamIn(testContext(t), ".", tarOf(t,
			tarDir("gone", 0o755), tarFile("gone/file", 0o644, ""), tarDir("again", 0o755), tarFile("again/file", 0o644, "same"),
			tarFile("again/lost", 0o644, "lost"), tarFile("content", 0o644, "old"), tarFile("mode", 0o644, "same"),
			tarSymlink("link", "old"), tarFile("removed", 0o644, "removed"), tarFile("to-dir", 0o644, ""), tarFile("kept", 0o644, ""))))
		container := s.container(t, func(spec *runtime.ContainerSpec) {
			spec.Inputs = []runtime.Input{{Artifact: input, Path: "in"}}
		})
		runScript(t, container, `cd in; rm -r gone; rm -r again; mkdir again; printf same >again/file; printf new >content; chmod 600 mode
			rm link; ln -s new link; rm removed; rm to-dir; mkdir to-dir; printf 1 >to-dir/file
			mkdir -p ../new/below; printf 12 >../new/below/file; rm /etc/passwd; mkdir -p /opt/made; ln -s x /opt/made/link`)
		want := `removed /etc/passwd file SIZE
added /opt/made directory 0
added /opt/made/link symlink 0
removed /tmp/build/in/again/lost file 4
modified /tmp/build/in/content file 3
removed /tmp/build/in/gone directory 0
modified /tmp/build/in/link symlink 0
modified /tmp/build/in/mode file 4
removed /tmp/build/in/removed file 7
modified /tmp/build/in/to-dir directory 0
added /tmp/build/in/to-dir/file file 1
added /tmp/build/new directory 0
added /tmp/build/new/below directory 0
added /tmp/build/new/below/file file 2
`
		all := changed(t, container)
		// An image may have /opt or not, and what its passwd has is its own.
		got := strings.Replace(all, "added /opt directory 0\n", "", 1)
		line, _, _ := strings.Cut(got, "\n")
		equal(t, "what is changed", strings.Replace(got, line[strings.LastIndex(line, " ")+1:]+"\n", "SIZE\n", 1), want)
		check(t, container.Stop(testContext(t), 0))
		equal(t, "what is changed in a container that was stopped", changed(t, container), all)
	},
}

// tellsChanges tells whether the runtime tells what changed. One that does not has to
// say so.
func (s *suite) tellsChanges(t *testing.T) bool {
	t.Helper()
	if !s.options.CanTellChanges {
		_, err := s.common(t).Files().Changes(testContext(t))
		wantSpecError(t, err, "Changes")
	}
	return s.options.CanTellChanges
}
