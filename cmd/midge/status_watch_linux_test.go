package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"
)

// No line of the view is wider than the terminal, which would break it in two, and what
// somebody watches for is there all the same.
func TestWatchedServerOnANarrowTerminal(t *testing.T) {
	answers := map[string]string{
		"/api/v1/status": `{"verdict":"critical","time":1000060,"parts":[
			{"name":"leftover collection","verdict":"critical","finding":"it has failed 7 times in a row: remove /sys/fs/cgroup/pids/midge/0123456789abcdef0123456789abcdef: device or resource busy"},
			{"name":"engine","verdict":"ok","values":{"active_builds":3,"waiting_builds":2}},
			{"name":"machine","verdict":"ok","values":{"cpu_pressure":12.4,"memory_pressure":3,"io_pressure":45}}]}`,
		"/api/v1/builds":  `[{"id":123457,"name":"123457","team_name":"a-team-of-a-long-name","created_by":"somebody@example.com","status":"succeeded","start_time":1000000,"end_time":1000030}]`,
		"/api/v1/workers": `[{"name":"a-worker-of-a-rather-long-name","platform":"linux","state":"running","tags":["large"]}]`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte(answers[r.URL.Path]))
	}))
	defer server.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for columns, want := range map[uint16][]string{
		50: {"critical", "3 active, 2 waiting", "cpu 12 %, memory 3 %, disk 45 %", "it has failed 7 times in a row", "device or resource busy", "running", "succeeded", "30s"},
		24: {"critical", "3 active, 2", "cpu 12 %,", "leftover collection", "a-worker-of-a-rather-lon", "succeeded"},
	} {
		command := exec.Command(self, "-t", server.URL, "status", "--watch")
		home := t.TempDir()
		command.Env = append(os.Environ(), asMidge+"=1", "TERM=xterm", "NO_COLOR=1", "HOME="+home, "XDG_CONFIG_HOME="+home)
		s := startOnTerminalOf(t, command, columns)
		shown := s.until("does not show the last table", func(shown string) bool {
			return strings.Contains(shown, "succeeded") && strings.HasSuffix(shown, "\r\n\r\n")
		})
		view := strings.TrimPrefix(shown, "\x1b[H\x1b[J")
		for line := range strings.Lines(view) {
			if line = strings.TrimRight(line, "\r\n"); utf8.RuneCountInString(line) > int(columns) {
				t.Errorf("a line is wider than %d columns: %q", columns, line)
			}
		}
		text := strings.Join(strings.Fields(view), " ")
		for _, want := range want {
			if !strings.Contains(text, want) {
				t.Errorf("in %d columns %q is not shown:\n%s", columns, want, view)
			}
		}
	}
}
