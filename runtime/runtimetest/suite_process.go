package runtimetest

import (
	"fmt"
	"strings"
	"testing"

	"midge/api"
	"midge/runtime"
)

var processTests = map[string]func(*suite, *testing.T){
	"ExitStatus": func(s *suite, t *testing.T) {
		container := s.common(t)
		for _, code := range []int{0, 1, 3, 127, 255} {
			done := run(t, container, script(fmt.Sprintf("exit-%d", code), fmt.Sprintf("exit %d", code)))
			equal(t, "the status", done.status.Code, code)
			equal(t, "the signal", done.status.Signal, "")
			equal(t, "OOMKilled", done.status.OOMKilled, false)
			if done.status.Started.IsZero() || done.status.Ended.Before(done.status.Started) {
				t.Errorf("it started at %v and ended at %v", done.status.Started, done.status.Ended)
			}
		}
	},
	"KilledBySignal": func(s *suite, t *testing.T) {
		container := s.common(t)
		for signal, number := range map[runtime.Signal]int{
			runtime.SignalInterrupt: 2, runtime.SignalTerminate: 15, runtime.SignalKill: 9,
			runtime.SignalHangup: 1, runtime.SignalQuit: 3,
		} {
			// A shell handles some signals, and only at certain times.
			process := start(t, container, cat("killed-"+strings.ToLower(string(signal))))
			process.write(t, 0, "ready")
			process.await(t, "ready")
			process.signal(t, signal)
			done := process.wait(t)
			equal(t, "the status", done.status.Code, 128+number)
			equal(t, "the signal", done.status.Signal, string(signal))
		}
	},
	"SignalsReachTheGroup": func(s *suite, t *testing.T) {
		container := s.common(t)
		process := start(t, container, script("group",
			`trap 'echo parent; exit 4' TERM; sh -c 'trap "echo child; exit 0" TERM; sleep 100000 & echo ready; wait'; echo waited`))
		process.await(t, "ready")
		process.signal(t, runtime.SignalTerminate)
		done := process.wait(t)
		if !strings.Contains(done.stdout, "child") || !strings.Contains(done.stdout, "parent") {
			t.Errorf("the output is %q: not both have got the signal", done.stdout)
		}
		equal(t, "the status", done.status.Code, 4)
	},
	"HandledSignal": func(s *suite, t *testing.T) {
		process := start(t, s.common(t), script("trap", `trap 'echo handled; exit 7' INT; sleep 100000 & echo ready; wait`))
		process.await(t, "ready")
		process.signal(t, runtime.SignalInterrupt)
		done := process.wait(t)
		equal(t, "the status", done.status.Code, 7)
		equal(t, "the signal", done.status.Signal, "")
		equal(t, "stdout", done.stdout, "ready\nhandled\n")
	},
	"SignalAfterTheEnd": func(s *suite, t *testing.T) {
		process := start(t, s.common(t), script("ended", "exit 0"))
		process.wait(t)
		process.signal(t, runtime.SignalTerminate)
		process.signal(t, runtime.SignalKill)
	},
	"WaitOfMany": func(s *suite, t *testing.T) {
		spec := script("many", "read line; exit 5")
		spec.Stdin = true
		process := start(t, s.common(t), spec)
		ctx := testContext(t)
		statuses := make(chan int)
		for range 10 {
			go func() {
				status, err := process.Wait(ctx)
				if err != nil {
					t.Error(err)
				}
				statuses <- status.Code
			}()
		}
		process.write(t, 0, "go\n")
		for range 10 {
			equal(t, "the status", <-statuses, 5)
		}
		// It stays what it was.
		equal(t, "the status", process.wait(t).status.Code, 5)
	},
	"WaitEndsWithItsContext": func(s *suite, t *testing.T) {
		spec := script("waited", "read line; exit 6")
		spec.Stdin = true
		process := start(t, s.common(t), spec)
		ctx, cancel := cancelled(t)
		if _, err := process.Wait(ctx); err == nil {
			t.Error("Wait with a context that has ended gave no error")
		}
		cancel()
		process.write(t, 0, "go\n")
		equal(t, "the status", process.wait(t).status.Code, 6)
	},
	"Environment": func(s *suite, t *testing.T) {
		container := s.container(t, func(spec *runtime.ContainerSpec) {
			spec.Env = []string{"ONE=container", "TWO=container", "EMPTY=", "SPACES= a b ", "LINES=a\nb", "EQUALS=a=b"}
		})
		done := run(t, container, runtime.ProcessSpec{
			ID: "env", Path: "env", Args: []string{"-0"}, Env: []string{"TWO=process", "THREE=first", "THREE=last"},
		})
		equal(t, "the status", done.status.Code, 0)
		s.checkEnvironment(t, done.stdout, map[string]string{
			"ONE": "container", "TWO": "process", "THREE": "last", "EMPTY": "", "SPACES": " a b ", "LINES": "a\nb", "EQUALS": "a=b",
		})
	},
	"WorkingDirectory": func(s *suite, t *testing.T) {
		container := s.common(t)
		runScript(t, container, "mkdir -p below/it")
		for dir, want := range map[string]string{"": "/tmp/build", "below/it": "/tmp/build/below/it", "/": "/", "/tmp": "/tmp"} {
			spec := script(fmt.Sprintf("pwd-%d", lastProcess.Add(1)), "pwd")
			spec.Dir = dir
			equal(t, "the directory", run(t, container, spec).stdout, want+"\n")
		}
	},
	"User": func(s *suite, t *testing.T) {
		container := s.common(t)
		for user, want := range map[string]string{"": "0\n", "root": "0\n", "0": "0\n", "nobody": "65534\n", "65534": "65534\n"} {
			spec := script(fmt.Sprintf("id-%d", lastProcess.Add(1)), "id -u")
			spec.User = user
			equal(t, "the id of user "+user, run(t, container, spec).stdout, want)
		}
	},
	"Arguments": func(s *suite, t *testing.T) {
		args := []string{"", " ", "a b", "*", "$HOME", "'", `"`, `\`, "-x", "ünï", "a\nb"}
		done := run(t, s.common(t), runtime.ProcessSpec{
			ID: "args", Path: "/bin/sh", Args: append([]string{"-c", `for a; do printf '<%s>' "$a"; done`, "sh"}, args...),
		})
		equal(t, "stdout", done.stdout, "<"+strings.Join(args, "><")+">")
	},
	"BackgroundChildrenDoNotKeepItFromEnding": func(s *suite, t *testing.T) {
		done := run(t, s.common(t), script("background", "sleep 100000 & echo done; exit 3"))
		equal(t, "stdout", done.stdout, "done\n")
		equal(t, "the status", done.status.Code, 3)
	},
	"OutOfMemory": func(s *suite, t *testing.T) {
		if !s.options.CanLimitMemory {
			return
		}
		container := s.container(t, func(spec *runtime.ContainerSpec) { spec.Limits.Memory = 64 << 20 })
		done := run(t, container, script("memory", `x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done`))
		equal(t, "OOMKilled", done.status.OOMKilled, true)
		if done.status.Code == 0 {
			t.Error("the status is 0")
		}
	},
	"Usage": func(s *suite, t *testing.T) {
		container := s.container(t, func(spec *runtime.ContainerSpec) {
			if s.options.CanLimitMemory {
				spec.Limits.Memory = 256 << 20
			}
		})
		spec := script(runtime.TaskProcessID, "read line; echo $line; exit 3")
		spec.Stdin = true
		task := start(t, container, spec)
		s.checkUsage(t, task.Process, false)
		other := start(t, container, script("other", "true"))
		after := other.wait(t).status.Ended
		used, err := other.Usage(testContext(t))
		check(t, err)
		if used != nil && (len(used.Samples) != 1 || used.Samples[0].Timestamp.After(after)) {
			t.Errorf("what another process used until %v is %+v", after, used)
		}
		task.write(t, 0, "go\n")
		done := task.wait(t)
		used = s.checkUsage(t, task.Process, true)
		if len(used.Samples) == 0 { // and it says why
			return
		}
		last := used.Samples[len(used.Samples)-1].Timestamp
		if last.Before(done.status.Started) {
			t.Errorf("the last sample is of %v, and the process started at %v", last, done.status.Started)
		}
		if s.options.CanLimitMemory {
			if used.Limits == nil || used.Limits.MemoryBytes == nil {
				t.Fatalf("the usage knows no limit of memory: %+v", used.Limits)
			}
			equal(t, "the limit", *used.Limits.MemoryBytes, 256<<20)
		}
		// It outlives what was sampled.
		check(t, container.Stop(testContext(t), 0))
		equal(t, "the samples", len(s.checkUsage(t, task.Process, true).Samples), len(used.Samples))
	},
	"TooManyProcesses": func(s *suite, t *testing.T) {
		if !s.options.CanLimitPids {
			return
		}
		container := s.container(t, func(spec *runtime.ContainerSpec) { spec.Limits.Pids = 20 })
		done := run(t, container, script("pids", `i=0; while [ $i -lt 100 ]; do sleep 1000 & i=$((i+1)); done; echo all`))
		if strings.Contains(done.stdout, "all") {
			t.Error("100 processes began where 20 may be")
		}
	},
	"TooMuchOnTheDisk": func(s *suite, t *testing.T) {
		if !s.options.CanLimitDisk {
			return
		}
		const limit = 8 << 20
		container := s.container(t, func(spec *runtime.ContainerSpec) {
			spec.Limits.Disk = limit
			spec.Outputs = []runtime.Output{{Path: "out"}}
		})
		task := start(t, container, script(runtime.TaskProcessID, "head -c 16777216 /dev/zero >out/file; sleep 100000"))
		other := start(t, container, script("other", "sleep 100000"))
		for _, status := range []runtime.ExitStatus{task.wait(t).status, other.wait(t).status} {
			equal(t, "the status", status.Code, 137)
			if status.DiskUsed <= limit {
				t.Errorf("DiskUsed is %d, and the limit %d", status.DiskUsed, limit)
			}
		}
		weighed, ok := container.(runtime.Weighed)
		if !ok {
			t.Fatalf("%T does not tell what it takes on the disk", container)
		}
		used, err := weighed.DiskUsed(testContext(t))
		check(t, err)
		if used < 16<<20 {
			t.Errorf("it takes %d bytes on the disk", used)
		}
		// Who comes to see what fills it, and to remove that, may.
		done := run(t, container, script("after", "rm out/file; echo removed"))
		equal(t, "stdout", done.stdout, "removed\n")
		equal(t, "DiskUsed", done.status.DiskUsed, 0)
	},
	"WithinItsDisk": func(s *suite, t *testing.T) {
		container := s.container(t, func(spec *runtime.ContainerSpec) {
			spec.Limits.Disk = 64 << 20
			spec.Outputs = []runtime.Output{{Path: "out"}}
		})
		done := run(t, container, script("within", "head -c 1048576 /dev/zero >out/file; exit 3"))
		equal(t, "the status", done.status.Code, 3)
		equal(t, "DiskUsed", done.status.DiskUsed, 0)
	},
	"TooManyOpenFiles": func(s *suite, t *testing.T) {
		if !s.options.CanLimitOpenFiles {
			return
		}
		container := s.container(t, func(spec *runtime.ContainerSpec) { spec.Limits.OpenFiles = 64 })
		done := run(t, container, script("files", `ulimit -Sn; ulimit -Hn; (ulimit -n 65) 2>/dev/null || echo kept`))
		equal(t, "the limits", done.stdout, "64\n64\nkept\n")
	},
}

// checkUsage requires a process to have usage, or to have none. Where limits are enforced
// there are samples, and elsewhere at least why there are none.
func (s *suite) checkUsage(t *testing.T, process runtime.Process, want bool) *api.ResourceUsage {
	t.Helper()
	used, err := process.Usage(testContext(t))
	check(t, err)
	switch {
	case !want && used != nil:
		t.Errorf("there is usage of process %q: %+v", process.ID(), used)
	case want && (used == nil || len(used.Samples) == 0 && (s.options.CanLimitMemory || len(used.Missing) == 0)):
		t.Fatalf("there is no usage of process %q: %+v", process.ID(), used)
	}
	return used
}

// checkEnvironment requires what env -0 printed to be what is wanted, the image's
// and what every process has, and nothing else.
func (s *suite) checkEnvironment(t *testing.T, printed string, want map[string]string) {
	t.Helper()
	for _, variable := range s.options.Env {
		name, value, _ := strings.Cut(variable, "=")
		if _, ok := want[name]; !ok {
			want[name] = value
		}
	}
	given := map[string]bool{"PATH": true, "HOME": true, "USER": true}
	for variable := range strings.SplitSeq(strings.TrimSuffix(printed, "\x00"), "\x00") {
		name, value, _ := strings.Cut(variable, "=")
		wanted, ok := want[name]
		if !ok && !given[name] {
			t.Errorf("the environment has %q", variable)
		}
		if ok && value != wanted {
			t.Errorf("%s is %q, want %q", name, value, wanted)
		}
		delete(want, name)
		delete(given, name)
	}
	for name := range want {
		t.Errorf("the environment lacks %s", name)
	}
	if given["PATH"] || given["HOME"] {
		t.Errorf("the environment lacks PATH or HOME: %q", printed)
	}
}
