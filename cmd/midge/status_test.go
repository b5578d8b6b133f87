package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"midge/api"
	"midge/client"
	"midge/health"
)

func TestServerStatus(t *testing.T) {
	const disk = `{"verdict":"warning","time":1000060,"parts":[
		{"name":"disk","verdict":"warning","finding":"7 % are \u001b[2Jfree","last_run":1000050,"took_seconds":0.002},
		{"name":"engine","verdict":"ok","last_run":1000055,"backlog":12}]}`
	tests := []struct {
		name   string
		code   int
		answer string
		check  bool
		exit   int
		text   string

		thresholds []health.Threshold
	}{
		{"well", 200, `{"verdict":"ok","time":1000000}`, true, 0, "server  ok  0s  0s  none  none\n", nil},
		{"parts", 200, disk, false, 0, "disk    warning  10s  2ms  none  7 % are free\nengine  ok       5s   0s   12    none\n", nil},
		{"warning", 200, disk, true, 1, "disk    warning", nil},
		{"critical", 200, `{"verdict":"critical","time":1000000}`, true, 2, "server  critical", nil},
		{"does not answer", 503, "", true, 2, "midge: ", nil},
		{"does not answer, and nobody checks", 503, "", false, 1, "midge: ", nil},
		{"does not let in who asks", 401, "", true, 3, "midge: ", nil},
		{"allows it to nobody", 403, "", true, 3, "midge: ", nil},
		{"a Concourse", 404, "", true, 3, "midge: the server does not tell how it is", nil},
		{"a bound of nothing", 200, disk, true, 3, "midge: no part \"disk\" of the server tells \"fre_bytes\"",
			[]health.Threshold{{Verdict: api.VerdictWarning, Part: "disk", Field: "fre_bytes"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(test.code)
				w.Write([]byte(test.answer))
			}))
			defer server.Close()
			c, err := client.OfTarget("ci", client.Target{URL: server.URL})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			exit := 0
			got := printed(t, func(p *program) error {
				if test.check {
					p.args = []string{"status", "--check"}
				}
				err := p.checked(newStatusCommand(p), p.serverStatus(t.Context(), c, test.check, test.thresholds))
				if err != nil {
					exit = p.fail(err)
				}
				return nil
			})
			if exit != test.exit || !strings.HasPrefix(got, test.text) {
				t.Errorf("got exit status %d and %q, want %d and %q", exit, got, test.exit, test.text)
			}
		})
	}
}

func TestWatchedServer(t *testing.T) {
	answers := map[string]string{
		"/api/v1/status": `{"verdict":"warning","time":1000060,"parts":[
			{"name":"disk","verdict":"warning","finding":"7 % are free","last_run":1000050,"values":{"free_bytes":7,"total_bytes":100}},
			{"name":"engine","verdict":"ok","values":{"active_builds":3,"waiting_builds":2}},
			{"name":"machine","verdict":"ok","values":{"cpu_pressure":12.4}}]}`,
		"/api/v1/builds":  `[{"id":7,"name":"7","team_name":"main","status":"started"}]`,
		"/api/v1/workers": `[{"name":"w","platform":"linux","state":"running"}]`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte(answers[r.URL.Path]))
	}))
	defer server.Close()
	c, err := client.OfTarget("ci", client.Target{URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got := printed(t, func(p *program) error { return p.showServer(t.Context(), c) })
	for _, want := range []string{"warning\n", "3 active, 2 waiting", "7 % free", "cpu 12 %", "7 % are free", "linux", "started"} {
		if !strings.Contains(got, want) {
			t.Errorf("it does not show %q:\n%s", want, got)
		}
	}
}
