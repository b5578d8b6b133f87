package agent

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// FuzzMachine has the machine say anything where this package reads what the kernel and
// OCI runtimes say.
func FuzzMachine(f *testing.F) {
	for _, text := range []string{
		"oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
		"         0          0 4294967295\n",
		"0 1000 1\n1 100000 65536\n",
		`{"level":"error","msg":"runc run failed: unable to start container process: exec: \"x\"","time":"2026-11-28T12:00:00Z"}` + "\n" +
			`{"level":"warning","msg":"lost connection"}` + "\n{\nnot JSON\n",
		`{"msg":"openat2 ` + "`etc`" + `: No such file or directory","level":"error","time":"2026-11-28T12:00:00.000000000Z"}`,
		`{"Level":"error","MSG":7}`, "null\n[]\n\"error\"\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if kills, err := parseOOMKills(text); err != nil && kills != 0 {
			t.Errorf("%q has %d kills, and the error %v", text, kills, err)
		}
		if mapsAll(text) && strings.Join(strings.Fields(string(text)), " ") != "0 "+strings.Fields(string(text))[1]+" 4294967295" {
			t.Errorf("%q is taken for a map of all numbers", text)
		}
		message := lastError(bytes.NewReader(text))
		if quoted, err := json.Marshal(message); err != nil || message != "" && !bytes.Contains(text, []byte("{")) {
			t.Errorf("%q says %s (%v)", text, quoted, err)
		}
	})
}

func TestLastError(t *testing.T) {
	for log, want := range map[string]string{
		"":        "",
		"no JSON": "",
		`{"level":"error","msg":"first"}` + "\n" + `{"level":"error","msg":"last"}` + "\n" + `{"level":"info","msg":"after"}`: "last",
		`{"level":"error","msg":"cut"}` + "\n" + `{"level":"error","msg":"mor`:                                                "cut",
	} {
		if got := lastError(strings.NewReader(log)); got != want {
			t.Errorf("%q: got %q, want %q", log, got, want)
		}
	}
}
