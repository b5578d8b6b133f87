package health

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"midge/api"
)

func TestParseThreshold(t *testing.T) {
	tests := []struct {
		text string
		want Threshold
		err  string
	}{
		{"disk.free_bytes<20GB", Threshold{"warning", "disk", "free_bytes", false, 20 << 30}, ""},
		{"worker a.b.active_tasks > 3.5", Threshold{"warning", "worker a.b", "active_tasks", true, 3.5}, ""},
		{"*.failures_in_row>0", Threshold{"warning", "*", "failures_in_row", true, 0}, ""},
		{"disk.free_bytes=1", Threshold{}, "should be like"},
		{"free_bytes<1", Threshold{}, "should be like"},
		{"disk.free_bytes<many", Threshold{}, "neither a number nor a size"},
		{"", Threshold{}, "should be like"},
	}
	for _, test := range tests {
		got, err := ParseThreshold(api.VerdictWarning, test.text)
		if test.err == "" && (err != nil || got != test.want) || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%q: got %+v, %v; want %+v, %q", test.text, got, err, test.want, test.err)
		}
	}
}

func TestReadThresholds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "thresholds.yml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("warn: [disk.free_bytes<20GB]\ncritical: ['engine.waiting_builds>100']\n")
	got, err := ReadThresholds(path)
	want := []Threshold{{"warning", "disk", "free_bytes", false, 20 << 30}, {"critical", "engine", "waiting_builds", true, 100}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	write("warning: [disk.free_bytes<20GB]\n")
	if _, err := ReadThresholds(path); err == nil || !strings.Contains(err.Error(), "warning") {
		t.Errorf("of a list that is none it says %v", err)
	}
	if _, err := ReadThresholds(path + ".missing"); err == nil {
		t.Error("a file that is not there is read")
	}
}

func TestApply(t *testing.T) {
	status := func() api.Status {
		return api.Status{Verdict: "ok", Time: 100, Parts: []api.StatusPart{
			{Name: "disk", Verdict: "warning", Finding: "7 % are free", LastRun: 90, Values: map[string]float64{"free_bytes": 5}},
			{Name: "engine", Verdict: "ok", Values: map[string]float64{"waiting_builds": 3}},
		}}
	}
	tests := []struct {
		threshold string
		verdict   api.Verdict // of the document
		part      int
		finding   string
		err       string
	}{
		{"disk.free_bytes<5", "ok", 0, "7 % are free", ""},
		{"disk.free_bytes<6", "critical", 0, "7 % are free; free_bytes is 5, less than 6", ""},
		{"engine.waiting_builds>2", "critical", 1, "waiting_builds is 3, more than 2", ""},
		{"*.age_seconds>9", "critical", 0, "7 % are free; age_seconds is 10, more than 9", ""},
		{"*.failures_in_row>0", "ok", 1, "", ""},
		{"engine.free_bytes<1", "", 0, "", `no part "engine"`},
		{"nothing.took_seconds>1", "", 0, "", `no part "nothing"`},
	}
	for _, test := range tests {
		threshold, err := ParseThreshold(api.VerdictCritical, test.threshold)
		if err != nil {
			t.Fatal(err)
		}
		got := status()
		err = Apply(&got, []Threshold{threshold})
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: got %v, want %q", test.threshold, err, test.err)
			}
			continue
		}
		if err != nil || got.Verdict != test.verdict || got.Parts[test.part].Finding != test.finding {
			t.Errorf("%s: got %s, %q, %v; want %s, %q", test.threshold, got.Verdict, got.Parts[test.part].Finding, err, test.verdict, test.finding)
		}
	}
}
