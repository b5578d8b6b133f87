package endtoend

import (
	"errors"
	"strings"
	"testing"
)

// A task that is killed for memory says which limit it met, how much it had, and what would help.
func TestKilledForMemory(t *testing.T) {
	s := startServer(t)
	task := s.script("task", `x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done`, "container_limits: {memory: 64MB}\n")
	r := s.midge("execute", "-c", task, "--usage")
	r.want(t, 137, "killed for memory", "limit of 64 MB", "peak ", "container_limits.memory", "of 64 MB")
	sample := last(t, s.usageOf("1").Steps[0])
	if sample.MemoryStat == nil || sample.MemoryStat.OomKillEvents == nil || *sample.MemoryStat.OomKillEvents == 0 {
		t.Errorf("the sample knows of no kill: %+v", sample.MemoryStat)
	}
}

// A task whose container takes more of the disk than it may says so, and who goes into the
// container finds what it has written.
func TestKilledForDiskSpace(t *testing.T) {
	s := startServer(t, "--default-task-disk-limit", "16MB", "--max-task-disk-limit", "32MB")
	for _, test := range []struct{ name, script, rest, limit string }{
		{"its files", "head -c 30000000 /dev/zero >file; exec sleep 100000", "", "16 MB"},
		{"an output", "head -c 40000000 /dev/zero >out/file; exec sleep 100000", "outputs: [{name: out}]\ncontainer_limits: {disk: 32MB}\n", "32 MB"},
		{"what it prints", "head -c 30000000 /dev/zero; exec sleep 100000", "", "16 MB"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.t = t
			r := s.midge("execute", "-c", s.script("task", test.script, test.rest))
			r.want(t, 137, "killed for disk space", "more than its limit of "+test.limit, "container_limits.disk", "--default-task-disk-limit")
		})
	}
	s.t = t
	s.midge("hijack", "-b", "1", "--", "stat", "-c", "%s bytes", "file").want(t, 0, "30000000 bytes")
	s.midge("execute", "-c", s.script("task", "true", "container_limits: {disk: 33MB}\n")).want(t, 2, "asks for 33 MB of disk space", "32 MB at most")
}

// What killed a task, or a part of it, is said with what would change it.
func TestWhatKilledATask(t *testing.T) {
	s := startServer(t, "--default-task-pids-limit", "30")
	const limited = "container_limits: {memory: 64MB}\n"
	for _, test := range []struct {
		name, script, rest string
		status             int
		words              []string
	}{
		{"by itself", "kill -9 $$", "", 137, []string{"killed by a SIGKILL that neither a limit", "nor a timeout, nor an abort"}},
		{"by itself, within its limit", "kill -9 $$", limited, 137, []string{"killed by a SIGKILL", "of 64 MB"}},
		{"terminated", "kill -15 $$", "", 143, []string{"killed by a SIGTERM that neither a limit"}},
		{"a part of it for memory", "sh -c 'x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done' || echo went on", limited, 0,
			[]string{"went on", "a process of the task was killed for memory", "limit of 64 MB (peak ", "container_limits.memory", "--default-task-memory-limit"}},
		{"processes", "i=0; while [ $i -lt 60 ]; do sleep 1000 & i=$((i+1)); done", "", 2,
			[]string{"could not start a process", "limit of 30 processes", "--default-task-pids-limit"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.t = t
			s.midge("execute", "-c", s.script("task", test.script, test.rest)).want(t, test.status, test.words...)
		})
	}
}

func TestATaskThatTookTooLong(t *testing.T) {
	s := startServer(t)
	r := s.midge("curl", "/api/v1/teams/main/builds", "-d", `{"timeout":{"duration":"2s","step":{"id":"1","task":{"name":"slow","config":{
		"platform":"linux","run":{"path":"sleep","args":["1000"]}}}}}}`)
	r.want(t, 0)
	s.midge("watch", "-b", "1").want(t, 1, "killed because its timeout of 2s ran out", "give the step a longer timeout")
}

func TestWhoAbortedATask(t *testing.T) {
	s := startServer(t)
	cmd := s.command("execute", "-c", s.script("task", "echo begun; exec sleep 1000", ""))
	var stdout, stderr output
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the task runs", func() error {
		if !strings.Contains(stdout.String(), "begun") {
			return errors.New(stderr.String())
		}
		return nil
	})
	s.midge("abort-build", "-b", "1").want(t, 0)
	cmd.Wait()
	result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}.want(t, 3, "the task was killed because local aborted the build")
	used := s.usageOf("1")
	if sample := last(t, used.Steps[0]); sample.CPUStat == nil {
		t.Errorf("the last sample of an aborted task is %+v", sample)
	}
}
