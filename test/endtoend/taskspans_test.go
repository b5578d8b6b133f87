package endtoend

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// keptSpan is a span as midge trace --json writes it.
type keptSpan struct {
	Name        string
	SpanContext struct{ SpanID string }
	Parent      struct{ SpanID string }
	Attributes  []struct {
		Key   string
		Value struct{ Value any }
	}
}

func (s keptSpan) attribute(key string) any {
	for _, a := range s.Attributes {
		if a.Key == key {
			return a.Value.Value
		}
	}
	return nil
}

// keptSpans gives the spans of a build, by name, and the names by id.
func (s *server) keptSpans(build string) (byName map[string]keptSpan, names map[string]string) {
	s.t.Helper()
	r := s.midge("trace", build, "--json")
	r.want(s.t, 0)
	byName, names = make(map[string]keptSpan), make(map[string]string)
	for line := range strings.Lines(r.stdout) {
		var span keptSpan
		if err := json.Unmarshal([]byte(line), &span); err != nil {
			s.t.Fatalf("%v in %s", err, line)
		}
		byName[span.Name], names[span.SpanContext.SpanID] = span, span.Name
	}
	return byName, names
}

// buildSender builds the program that sends spans into a directory that is an input.
func (s *server) buildSender() {
	s.t.Helper()
	if err := os.MkdirAll(s.path("tool"), 0o755); err != nil {
		s.t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", s.path("tool/spans"), "midge/test/endtoend/spans")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		s.t.Fatalf("build: %v\n%s", err, out)
	}
}

// The spans that a task sends of itself are below the one that ran it, with the
// machine's network and with none at all, and when the server was away meanwhile.
func TestSpansOfATask(t *testing.T) {
	for _, network := range []string{"host", "none"} {
		t.Run(network, func(t *testing.T) {
			s := startServer(t, "--network", network)
			s.buildSender()
			task := s.script("task", "tool/spans", "inputs: [{name: tool}]\n")
			r := s.midge("execute", "-c", task, "-i", "tool=tool", "--trace")
			r.want(t, 0, "compile", "compile 0")
			spans, names := s.keptSpans("1")
			if got := names[spans["compile"].Parent.SpanID]; got != "run" {
				t.Errorf("the task's span is below %q", got)
			}
			if got := names[spans["compile 0"].Parent.SpanID]; got != "compile" {
				t.Errorf("the span below it is below %q", got)
			}
			if got := spans["compile"].attribute("cicd.pipeline.run.id"); got != "1" {
				t.Errorf("the span is of build %v", got)
			}
		})
	}
}

func TestSpansOfATaskWhoseServerWasAway(t *testing.T) {
	s := startServer(t)
	s.buildSender()
	task := s.script("task", "echo begun; while ! test -e /tmp/go; do sleep 0.05; done; tool/spans -name late", "inputs: [{name: tool}]\n")
	cmd := s.command("execute", "-c", task, "-i", "tool=tool")
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
	s.kill()
	s.start()
	s.midge("hijack", "-b", "1", "--", "touch", "/tmp/go").want(t, 0)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, &stderr)
	}
	spans, names := s.keptSpans("1")
	if got := names[spans["late"].Parent.SpanID]; got != "run" {
		// The span that the first server began, and did not come to end, is not kept:
		// the parent is not known, and the origin says where it belongs.
		if origin, _ := spans["late"].attribute("midge.origin").(string); names[origin] != "run" {
			t.Errorf("the task's span is below %q, and comes from %q", got, names[origin])
		}
	}
	s.midge("trace", "1").want(t, 0, "late")
}

// A task can send only so many, and the picture says that there were more.
func TestTooManySpansOfATask(t *testing.T) {
	s := startServer(t)
	s.buildSender()
	const sent, kept = 12_000, 10_000
	task := s.script("task", "tool/spans -children "+strconv.Itoa(sent-1), "inputs: [{name: tool}]\n")
	s.midge("execute", "-c", task, "-i", "tool=tool").want(t, 0)
	spans, _ := s.keptSpans("1")
	of := 0
	for _, span := range spans {
		if span.attribute("midge.origin") != nil {
			of++
		}
	}
	if of != kept {
		t.Errorf("%d spans of the task are kept, want %d", of, kept)
	}
	if got := spans["run"].attribute("midge.dropped_spans"); got != float64(sent-kept) {
		t.Errorf("the run says that %v were dropped", got)
	}
	s.midge("trace", "1").want(t, 0, strconv.Itoa(sent-kept)+" spans are missing")
}
