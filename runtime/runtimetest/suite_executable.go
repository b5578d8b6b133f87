package runtimetest

import (
	"errors"
	"strings"
	"testing"

	"midge/runtime"
)

var executableTests = map[string]func(*suite, *testing.T){
	"LookedUpInPath": func(s *suite, t *testing.T) {
		container := s.container(t, func(spec *runtime.ContainerSpec) { spec.Env = []string{"PATH=/tmp/build/own:/bin:/usr/bin"} })
		runScript(t, container, `mkdir own; printf '#!/bin/sh\necho mine "$@"\n' > own/mine; chmod +x own/mine`)
		equal(t, "stdout", run(t, container, runtime.ProcessSpec{ID: "path", Path: "mine", Args: []string{"a"}}).stdout, "mine a\n")
		// The process's own PATH goes before the container's.
		_, err := container.Run(testContext(t), runtime.ProcessSpec{ID: "other", Path: "mine", Env: []string{"PATH=/bin"}})
		wantExecutableError(t, err, false)
	},
	"WithoutAPath": func(s *suite, t *testing.T) {
		container := s.common(t)
		done := run(t, container, runtime.ProcessSpec{ID: "args", Args: []string{"sh", "-c", "exit 5"}})
		equal(t, "the status", done.status.Code, 5)
		if _, err := container.Run(testContext(t), runtime.ProcessSpec{ID: "nothing"}); err == nil {
			t.Error("neither a path nor arguments gave no error")
		}
	},
	"RelativeWithASlash": func(s *suite, t *testing.T) {
		container := s.common(t)
		runScript(t, container, `mkdir -p sub; printf '#!/bin/sh\npwd\n' > sub/run; chmod +x sub/run`)
		equal(t, "stdout", run(t, container, runtime.ProcessSpec{ID: "relative", Path: "sub/run"}).stdout, "/tmp/build\n")
		equal(t, "stdout", run(t, container, runtime.ProcessSpec{ID: "in-dir", Path: "./run", Dir: "sub"}).stdout, "/tmp/build/sub\n")
		equal(t, "stdout", run(t, container, runtime.ProcessSpec{ID: "absolute", Path: "/tmp/build/sub/run"}).stdout, "/tmp/build\n")
	},
	"Missing": func(s *suite, t *testing.T) {
		container := s.common(t)
		runScript(t, container, "mkdir ci; touch ci/test.sh ci/build.sh")
		for _, path := range []string{"no-such-command", "ci/tests.sh", "/tmp/build/ci/tests.sh", "/no/such/dir/command"} {
			_, err := container.Run(testContext(t), runtime.ProcessSpec{ID: "missing", Path: path})
			wantExecutableError(t, err, false)
			if !strings.Contains(err.Error(), path) {
				t.Errorf("the error for %q does not name it: %v", path, err)
			}
			if strings.Contains(path, "ci/") && !strings.Contains(err.Error(), "test.sh") {
				t.Errorf("the error does not say what lies beside: %v", err)
			}
		}
	},
	"NotExecutable": func(s *suite, t *testing.T) {
		container := s.common(t)
		runScript(t, container, "echo echo > file; mkdir dir; ln -s nowhere dangling")
		for _, path := range []string{"./file", "/tmp/build/file", "./dir", "/tmp"} {
			_, err := container.Run(testContext(t), runtime.ProcessSpec{ID: "unexecutable", Path: path})
			wantExecutableError(t, err, true)
		}
		_, err := container.Run(testContext(t), runtime.ProcessSpec{ID: "unexecutable", Path: "./dangling"})
		wantExecutableError(t, err, false)
	},
	"NoFormatThatCanBeExecuted": func(s *suite, t *testing.T) {
		container := s.common(t)
		runScript(t, container, `printf 'no program' > junk; printf '#!/no/such/interpreter\n' > script; chmod +x junk script`)
		for _, path := range []string{"./junk", "./script"} {
			_, err := container.Run(testContext(t), runtime.ProcessSpec{ID: "junk", Path: path})
			wantExecutableError(t, err, true)
		}
	},
	"LeavesTheIDFree": func(s *suite, t *testing.T) {
		container := s.container(t, nil)
		for _, spec := range []runtime.ProcessSpec{
			{ID: "id", Path: "no-such-command"},
			{ID: "id", Path: "/bin/sh", Dir: "/no/such/dir"},
			{ID: "id", Path: "/bin/sh", User: "no-such-user"},
		} {
			if _, err := container.Run(testContext(t), spec); err == nil {
				t.Fatalf("%+v gave no error", spec)
			}
		}
		ids, err := container.Processes(testContext(t))
		check(t, err)
		equal(t, "the number of processes", len(ids), 0)
		_, err = container.Attach(testContext(t), "id")
		wantNotFound(t, err, "Attach")
		equal(t, "the status", run(t, container, script("id", "exit 4")).status.Code, 4)
	},
	"WorkingDirectoryMissing": func(s *suite, t *testing.T) {
		container := s.common(t)
		runScript(t, container, "touch file")
		for _, dir := range []string{"/no/such/dir", "missing", "file"} {
			spec := script("dir", "exit 0")
			spec.Dir = dir
			_, err := container.Run(testContext(t), spec)
			wantSpecError(t, err, "Run in "+dir)
		}
	},
	"UnknownUser": func(s *suite, t *testing.T) {
		container := s.common(t)
		spec := script("user", "exit 0")
		spec.User = "no-such-user"
		_, err := container.Run(testContext(t), spec)
		wantSpecError(t, err, "Run as a user that does not exist")
		if err != nil && !strings.Contains(err.Error(), "no-such-user") {
			t.Errorf("the error does not name the user: %v", err)
		}
	},
	"ProcessID": func(s *suite, t *testing.T) {
		container := s.common(t)
		for _, id := range []string{"", "UPPER", "with/slash", "..", "sp ace", strings.Repeat("x", 65)} {
			if _, err := container.Run(testContext(t), script(id, "exit 0")); err == nil {
				t.Errorf("process id %q gave no error", id)
			}
		}
		run(t, container, script(strings.Repeat("x", 64), "exit 0"))
	},
}

// wantExecutableError requires a *runtime.ExecutableError with a sentence.
func wantExecutableError(t *testing.T, err error, found bool) {
	t.Helper()
	var executable *runtime.ExecutableError
	if !errors.As(err, &executable) {
		t.Errorf("the error is %v (%T), want an *ExecutableError", err, err)
		return
	}
	equal(t, "Found of "+executable.Path, executable.Found, found)
	if executable.Reason == "" || executable.Path == "" {
		t.Errorf("the error says too little: %+v", executable)
	}
}
