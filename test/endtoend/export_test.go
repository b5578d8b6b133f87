package endtoend

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"midge/trace/otlp"
)

// collector keeps what is exported to it: the names of spans by the service that they are of.
type collector struct {
	*httptest.Server
	mu    sync.Mutex
	names map[string][]string
}

func startCollector(t *testing.T) *collector {
	c := &collector{names: make(map[string][]string)}
	c.Server = httptest.NewServer(otlp.NewReceiver(func(_ context.Context, spans []otlp.Span) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, span := range spans {
			service, _ := span.Resource.Attribute("service.name")
			c.names[service.AsString()] = append(c.names[service.AsString()], span.Name)
		}
		return nil
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) want(t *testing.T, service string, names ...string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range names {
		if !slices.Contains(c.names[service], name) {
			t.Errorf("%s exported no span %q: %q", service, name, c.names[service])
		}
	}
}

// The variables OTEL_* have the command, the server and the task's own spans exported,
// whether or not a picture is asked for.
func TestExport(t *testing.T) {
	c := startCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
	s := startServer(t)
	s.buildSender()
	task := s.script("task", "tool/spans; exit 4", "inputs: [{name: tool}]\n")
	s.midge("execute", "-c", task, "-i", "tool=tool").want(t, 4)
	c.want(t, "midge", "execute", "config", "upload tool")
	s.stop() // which exports what is left
	c.want(t, "midge-server", "build", "task one-off", "run")
	found := false
	for _, names := range c.names {
		found = found || slices.Contains(names, "compile")
	}
	if !found {
		t.Errorf("the task's own spans were not exported: %q", c.names)
	}
}

// A collector that is not there is no reason for a command to fail.
func TestExportToNobody(t *testing.T) {
	c := startCollector(t)
	c.Close()
	s := startServer(t)
	cmd := s.command("builds")
	cmd.Env = append(cmd.Env, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.URL, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf")
	r := runCommand(t, cmd)
	r.want(t, 0, "were not exported")
}

// startConcourse starts what answers as a Concourse does, as far as builds are listed.
func startConcourse(t *testing.T) *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/info", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(map[string]string{"version": "7.14.3", "worker_version": "2.5", "external_url": "http://localhost:8080"})
	})
	builds := func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(`[{"id":7,"team_name":"main","name":"7","status":"succeeded","api_url":"/api/v1/builds/7","start_time":1,"end_time":2}]`))
	}
	mux.HandleFunc("GET /api/v1/builds", builds)
	mux.HandleFunc("GET /api/v1/teams/main/builds", builds)
	mux.HandleFunc("GET /api/v1/builds/7", func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(`{"id":7,"team_name":"main","name":"7","status":"succeeded"}`))
	})
	concourse := httptest.NewServer(mux)
	t.Cleanup(concourse.Close)
	return concourse
}

// A server that knows nothing of traces and usage leaves the command's own.
func TestTraceAndUsageOfAConcourse(t *testing.T) {
	concourse := startConcourse(t)
	s := &server{t: t, dir: t.TempDir()}
	run := func(args ...string) result {
		cmd := s.command(args...)
		cmd.Env = append(cmd.Env, "MIDGE_TARGET="+concourse.URL)
		return runCommand(t, cmd)
	}
	r := run("builds", "--trace", "--usage")
	r.want(t, 0, "succeeded", "trace ", "builds ", "this command", "request in")
	if strings.Contains(r.stderr, "cannot be shown") {
		t.Errorf("it complains:\n%s", r.stderr)
	}
	r = run("builds", "--trace=json")
	r.want(t, 0)
	var span struct{ Name string }
	if err := json.Unmarshal([]byte(strings.SplitN(r.stderr, "\n", 2)[0]), &span); err != nil || span.Name == "" {
		t.Errorf("no span is written: %v in %s", err, r.stderr)
	}
	run("trace", "7").wantError(t, 1, "build 7 has no trace")
	run("usage", "7").wantError(t, 1)
}
