package endtoend

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"midge/api"
)

// usageOf asks for the usage of a build.
func (s *server) usageOf(build string) api.BuildUsage {
	s.t.Helper()
	r := s.midge("usage", build, "--json")
	r.want(s.t, 0)
	var used api.BuildUsage
	if err := json.Unmarshal([]byte(r.stdout), &used); err != nil {
		s.t.Fatalf("the usage of build %s: %v\n%s", build, err, r.stdout)
	}
	if len(used.Steps) != 1 {
		s.t.Fatalf("build %s has the usage of %d steps", build, len(used.Steps))
	}
	return used
}

// last gives the last sample of a step.
func last(t *testing.T, step api.StepUsage) api.Sample {
	t.Helper()
	samples := step.ResourceUsage.Samples
	if len(samples) == 0 {
		t.Fatalf("there is no sample: %+v", step.ResourceUsage)
	}
	return samples[len(samples)-1]
}

func TestTraceAndUsage(t *testing.T) {
	s := startServer(t)
	s.write(map[string]string{"src/a.txt": "one\n"})
	task := s.script("task", `
i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done
cp src/a.txt out/`, "inputs: [{name: src}]\noutputs: [{name: out}]\n")
	r := s.midge("execute", "-c", task, "-i", "src=src", "-o", "out=out", "--trace", "--usage")
	r.want(t, 0, "critical path", "execute", "config", "upload src", "walk", "hash", "negotiate", "send", "build 1", "task one-off", "create", "run", "exit 0", "download out",
		"this command", "slowest part: run, ")

	used := s.usageOf("1")
	sample := last(t, used.Steps[0])
	if sample.CPUStat == nil || sample.CPUStat.UsageNanos == nil || *sample.CPUStat.UsageNanos == 0 {
		t.Errorf("the task has used no cpu: %+v", sample)
	}
	if sample.PIDsStat == nil || sample.MemoryStat == nil || len(used.SysUsage) == 0 {
		t.Errorf("parts of the usage are absent: %+v", used)
	}
	if !used.Steps[0].Started.Before(used.Steps[0].Ended) {
		t.Errorf("the step went from %v to %v", used.Steps[0].Started, used.Steps[0].Ended)
	}

	s.midge("trace", "1").want(t, 0, "build 1", "task one-off", "run")
	// What is for those who ask for all is there, and not in their way.
	r = s.midge("execute", "-c", task, "-i", "src=src", "--trace", "--verbose")
	r.want(t, 0, "create build", "watch", "POST /api/v1/", "INSERT builds", "COMMIT")
	s.midge("trace", "--compare", "1", "2").want(t, 0, "A  build", "span", "change", "unchanged:")
	s.midge("usage", "1").want(t, 0, "task one-off", "cpu ")
}

// The trace of a command that fails shows what failed, and the status stays the task's.
func TestTraceOfAFailure(t *testing.T) {
	s := startServer(t)
	task := s.script("task", "exit 3", "")
	r := s.midge("execute", "-c", task, "--trace=json", "--trace-file", s.path("trace.json"))
	r.want(t, 3)
	text, err := os.ReadFile(s.path("trace.json"))
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for line := range strings.Lines(string(text)) {
		var span struct{ Name string }
		if err := json.Unmarshal([]byte(line), &span); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		names[span.Name] = true
	}
	for _, name := range []string{"execute", "config", "build", "task one-off", "run"} {
		if !names[name] {
			t.Errorf("the trace has no span %q: %v", name, names)
		}
	}
	s.midge("builds", "--team", "no-such", "--trace").want(t, 1, "builds", "no-such")
	s.midge("status", "-t", "unix://"+s.path("no.sock"), "--trace").want(t, 1, "status")
	r = s.midge("watch", "-b", "99", "--trace", "--usage")
	r.want(t, 1, "there is no build 99", "this command")
	if strings.Contains(r.stderr, "cannot be shown") {
		t.Errorf("what is wrong is said twice:\n%s", r.stderr)
	}
}

// What was going on when the server was killed is in the trace, and said to be cut off.
func TestTraceOfABuildWhoseServerWasKilled(t *testing.T) {
	s := startServer(t)
	s.midge("execute", "-c", s.script("task", "while ! test -e go; do sleep 0.1; done", ""), "--background").want(t, 0)
	eventually(t, "the span that runs the task is written", func() error {
		files, err := filepath.Glob(s.path("data/traces/*/1.jsonl"))
		if err != nil || len(files) != 1 {
			return fmt.Errorf("there are %v, %v", files, err)
		}
		text, err := os.ReadFile(files[0])
		if err == nil && !strings.Contains(string(text), `"name":"run"`) {
			err = errors.New(string(text))
		}
		return err
	})
	s.kill()
	s.start()
	s.midge("hijack", "-b", "1", "--", "touch", "go").want(t, 0)
	s.midge("watch", "-b", "1").want(t, 0)
	r := s.midge("trace", "1")
	r.want(t, 0, "the server was killed before this had ended", "build 1", "run", "exit 0")
	if n := strings.Count(r.stdout, "task one-off"); n != 2 {
		t.Errorf("the picture has the task %d times, want it before and after:\n%s", n, r.stdout)
	}
}

// A hijack session has a span on both sides, and is told what its own processes used.
// Also a session that was ended tells what it has used.
func TestUsageOfAnIdleSession(t *testing.T) {
	s := startServer(t, "--intercept-idle-timeout", "1s")
	s.midge("execute", "-c", s.script("task", "exit 1", "")).want(t, 1)
	r := s.midge("hijack", "-b", "1", "--usage", "--", "sleep", "100000")
	r.want(t, 255, "the session was idle for 1s, and is ended", "hijack sleep  cpu ")
}

func TestTraceAndUsageOfASession(t *testing.T) {
	s := startServer(t)
	s.midge("execute", "-c", s.script("task", "exit 1", "")).want(t, 1)
	r := s.midge("hijack", "-b", "1", "--trace", "--usage", "--", "sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo $TRACEPARENT; exit 3")
	r.want(t, 3, "session", "hijack", "start hijack session", "exit 3", "hijack sh", "this command")
	id, _, _ := strings.Cut(strings.TrimPrefix(r.stdout, "00-"), "-")
	if !strings.Contains(r.stderr, "trace "+id) {
		t.Errorf("the command in the session was told the trace %q", id)
	}
	r = s.midge("hijack", "-b", "1", "--usage=json", "--", "sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done")
	r.want(t, 0)
	var used api.BuildUsage
	if err := json.Unmarshal([]byte(r.stderr), &used); err != nil {
		t.Fatalf("%v: %s", err, r.stderr)
	}
	if used.Client == nil || len(used.Steps) != 1 || used.Steps[0].Session == "" {
		t.Fatalf("the usage is %+v", used)
	}
	sample := last(t, used.Steps[0])
	if sample.CPUStat == nil || *sample.CPUStat.UsageNanos == 0 || sample.NetStat != nil {
		t.Errorf("the session's sample is %+v", sample)
	}
	eventually(t, "both sessions are in the usage of the build", func() error {
		r := s.midge("usage", "1")
		if n := strings.Count(r.stdout, "hijack sh"); n != 2 || !strings.Contains(r.stdout, "slowest part: ") {
			return errors.New(r.stdout)
		}
		return nil
	})
}
