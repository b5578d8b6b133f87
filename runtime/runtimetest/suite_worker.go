package runtimetest

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"midge/runtime"
)

// readWhole reads an artifact's whole stream.
func readWhole(ctx context.Context, artifact runtime.Artifact) error {
	stream, err := artifact.StreamOut(ctx, ".")
	if err != nil {
		return err
	}
	defer stream.Close()
	_, err = io.Copy(io.Discard, stream)
	return err
}

var workerTests = map[string]func(*suite, *testing.T){
	"Name": func(s *suite, t *testing.T) {
		name := s.worker.Name()
		if name == "" {
			t.Error("the worker has no name")
		}
		s.common(t)
		equal(t, "the name later", s.worker.Name(), name)
	},
	"Info": func(s *suite, t *testing.T) {
		s.volume(t)
		container := s.common(t)
		spec := script(runtime.TaskProcessID, "read line")
		spec.Stdin = true
		task := start(t, container, spec)
		info, err := s.worker.Info(testContext(t))
		check(t, err)
		if info.Runtime == "" || info.Platform == "" || info.State != "running" || info.StartTime.IsZero() {
			t.Errorf("the info says too little: %+v", info)
		}
		if info.Containers < 1 || info.Volumes < 1 || info.ActiveTasks < 1 {
			t.Errorf("the info does not count the container, its task and the volume: %+v", info)
		}
		task.write(t, 0, "go\n")
		task.wait(t)
	},
	"NotFound": func(s *suite, t *testing.T) {
		for _, handle := range []string{"no-such-handle", "", "../..", "UPPER", strings.Repeat("x", 1000)} {
			_, err := s.worker.LookupContainer(testContext(t), handle)
			wantNotFound(t, err, "LookupContainer")
			_, err = s.worker.LookupVolume(testContext(t), handle)
			wantNotFound(t, err, "LookupVolume")
		}
	},
	"FindOrCreateIsIdempotent": func(s *suite, t *testing.T) {
		spec := s.spec()
		spec.Outputs = []runtime.Output{{Path: "out"}}
		var made [5]runtime.Container
		var all sync.WaitGroup
		for i := range made {
			all.Go(func() {
				container, err := s.worker.FindOrCreateContainer(testContext(t), spec)
				if err != nil {
					t.Error(err)
				}
				made[i] = container
			})
		}
		all.Wait()
		if t.Failed() {
			return
		}
		destroyLater(t, made[0])
		runScript(t, made[0], "echo text > out/file")
		for _, container := range made {
			equal(t, "the handle", container.Handle(), spec.Handle)
			equal(t, "the file", runScript(t, container, "cat out/file"), "text\n")
		}
	},
	"Lookup": func(s *suite, t *testing.T) {
		container := s.common(t)
		runScript(t, container, "echo text > file")
		found, err := s.worker.LookupContainer(testContext(t), container.Handle())
		check(t, err)
		equal(t, "the handle", found.Handle(), container.Handle())
		equal(t, "the file", runScript(t, found, "cat file"), "text\n")
		handles, err := s.worker.Containers(testContext(t))
		check(t, err)
		equal(t, "whether the list has it", slices.Contains(handles, container.Handle()), true)
	},
	"HandleMustBeAName": func(s *suite, t *testing.T) {
		for _, handle := range []string{"", "UPPER", "a/b", "..", ".", "a b", "ü", strings.Repeat("x", 65)} {
			spec := s.spec()
			spec.Handle = handle
			_, err := s.worker.FindOrCreateContainer(testContext(t), spec)
			wantSpecError(t, err, "handle "+handle)
		}
		long := s.container(t, func(spec *runtime.ContainerSpec) {
			spec.Handle = (spec.Handle + "-" + strings.Repeat("x", 64))[:64]
		})
		runScript(t, long, "exit 0")
	},
	"NoImage": func(s *suite, t *testing.T) {
		spec := s.spec()
		spec.Image = runtime.ImageSpec{}
		_, err := s.worker.FindOrCreateContainer(testContext(t), spec)
		wantSpecError(t, err, "a spec without an image")
		s.wantNothingOf(t, spec.Handle)
	},
	"RelativeWorkingDirectory": func(s *suite, t *testing.T) {
		spec := s.spec()
		spec.Dir = "relative"
		_, err := s.worker.FindOrCreateContainer(testContext(t), spec)
		wantSpecError(t, err, "a relative working directory")
		s.wantNothingOf(t, spec.Handle)
	},
	"ContextThatHasEnded": func(s *suite, t *testing.T) {
		ctx, cancel := cancelled(t)
		defer cancel()
		spec := s.spec()
		if _, err := s.worker.FindOrCreateContainer(ctx, spec); err == nil {
			t.Error("FindOrCreateContainer with a context that has ended gave no error")
		}
		s.wantNothingOf(t, spec.Handle)
	},
}

var containerTests = map[string]func(*suite, *testing.T){
	"WorkingDirectoryIsMade": func(s *suite, t *testing.T) {
		container := s.container(t, func(spec *runtime.ContainerSpec) { spec.Dir = "/no/such/dir/before" })
		equal(t, "the directory", runScript(t, container, "pwd; ls -A"), "/no/such/dir/before\n")
	},
	"Hostname": func(s *suite, t *testing.T) {
		container := s.common(t)
		equal(t, "the hostname", runScript(t, container, "uname -n"), container.Handle()+"\n")
		named := s.container(t, func(spec *runtime.ContainerSpec) { spec.Hostname = "one-off" })
		equal(t, "the hostname", runScript(t, named, "uname -n"), "one-off\n")
	},
	"User": func(s *suite, t *testing.T) {
		for user, want := range map[string]string{"nobody": "65534\n", "65534": "65534\n"} {
			container := s.container(t, func(spec *runtime.ContainerSpec) { spec.User = user })
			equal(t, "the user", runScript(t, container, "id -u"), want)
			spec := script("other", "id -u")
			spec.User = "root"
			equal(t, "a process's own user", run(t, container, spec).stdout, "0\n")
		}
	},
	"UnknownUser": func(s *suite, t *testing.T) {
		spec := s.spec()
		spec.User = "no-such-user"
		container, err := s.worker.FindOrCreateContainer(testContext(t), spec)
		if err == nil {
			destroyLater(t, container)
			_, err = container.Run(testContext(t), script("user", "exit 0"))
		}
		wantSpecError(t, err, "a user that does not exist")
	},
	"RootFileSystemIsItsOwn": func(s *suite, t *testing.T) {
		one, other := s.container(t, nil), s.common(t)
		runScript(t, one, "echo mine > /tmp/file; echo changed > /etc/hostname-of-one; rm -f /etc/passwd")
		equal(t, "what the other sees", runScript(t, other, "ls /tmp/file /etc/hostname-of-one 2>/dev/null; ls /etc/passwd"), "/etc/passwd\n")
	},
	"Attach": func(s *suite, t *testing.T) {
		container := s.common(t)
		spec := script("attached", "echo begun; read line; echo $line; exit 4")
		spec.Stdin = true
		process := start(t, container, spec)
		process.await(t, "begun")
		again, err := container.Attach(testContext(t), "attached")
		check(t, err)
		equal(t, "the id", again.ID(), "attached")
		other := follow(t, again)
		other.write(t, 0, "input\n")
		for _, p := range []*started{process, other} {
			done := p.wait(t)
			equal(t, "stdout", done.stdout, "begun\ninput\n")
			equal(t, "the status", done.status.Code, 4)
		}
		ended, err := container.Attach(testContext(t), "attached")
		check(t, err)
		equal(t, "the status", follow(t, ended).wait(t).status.Code, 4)
	},
	"AttachToNothing": func(s *suite, t *testing.T) {
		container := s.common(t)
		for _, id := range []string{"nothing", "", "../.."} {
			_, err := container.Attach(testContext(t), id)
			wantNotFound(t, err, "Attach")
		}
	},
	"IDsAreUsedOnce": func(s *suite, t *testing.T) {
		container := s.common(t)
		spec := script("once", "read line; exit 2")
		spec.Stdin = true
		process := start(t, container, spec)
		_, err := container.Run(testContext(t), spec)
		if err == nil {
			t.Error("the id of a running process gave no error")
		}
		process.write(t, 0, "go\n")
		equal(t, "the status", process.wait(t).status.Code, 2)
		_, err = container.Run(testContext(t), spec)
		if err == nil {
			t.Error("the id of a process that has ended gave no error")
		}
	},
	"Processes": func(s *suite, t *testing.T) {
		container := s.container(t, nil)
		spec := script("running", "read line")
		spec.Stdin = true
		process := start(t, container, spec)
		run(t, container, script("ended", "exit 0"))
		ids, err := container.Processes(testContext(t))
		check(t, err)
		slices.Sort(ids)
		equal(t, "the processes", strings.Join(ids, " "), "ended running")
		process.write(t, 0, "go\n")
		process.wait(t)
	},
	"CancellingAfterRunDoesNothing": func(s *suite, t *testing.T) {
		container := s.common(t)
		ctx, cancel := context.WithCancel(testContext(t))
		spec := script("goes-on", "read line; exit 3")
		spec.Stdin = true
		process, err := container.Run(ctx, spec)
		check(t, err)
		cancel()
		followed := follow(t, process)
		followed.write(t, 0, "go\n")
		equal(t, "the status", followed.wait(t).status.Code, 3)
	},
	"ContextThatHasEnded": func(s *suite, t *testing.T) {
		container := s.common(t)
		ctx, cancel := cancelled(t)
		defer cancel()
		if _, err := container.Run(ctx, script("late", "exit 0")); err == nil {
			t.Error("Run with a context that has ended gave no error")
		}
	},
	"Hermetic": func(s *suite, t *testing.T) {
		if !s.options.CanCutOff {
			spec := s.spec()
			spec.Hermetic = true
			_, err := s.worker.FindOrCreateContainer(testContext(t), spec)
			wantSpecError(t, err, "a hermetic container")
			return
		}
		container := s.container(t, func(spec *runtime.ContainerSpec) { spec.Hermetic = true })
		equal(t, "the networks but loopback", runScript(t, container,
			`while read -r name rest; do case $name in lo:*) ;; *:*) echo "$name" ;; esac; done < /proc/net/dev`), "")
	},
}
