package server

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"midge/api"
)

func TestVerdictOfPart(t *testing.T) {
	broken := errors.New("no space left")
	tests := []struct {
		name    string
		runs    []error
		silence time.Duration // after them
		verdict api.Verdict
		finding string
	}{
		{"has not run yet", nil, 59 * time.Second, api.VerdictOK, ""},
		{"has never run", nil, 10 * time.Minute, api.VerdictCritical, "has not for 10m0s: it is stuck"},
		{"runs", []error{nil}, time.Minute, api.VerdictOK, ""},
		{"is late", []error{nil}, 3*time.Minute + 30*time.Second, api.VerdictOK, ""},
		{"has stopped", []error{nil}, 3*time.Minute + 31*time.Second, api.VerdictCritical, "it should report every 1m0s and has not for 3m31s"},
		{"has stopped after a failure", []error{broken}, time.Hour, api.VerdictCritical, "stuck"},
		{"has failed", []error{nil, broken}, 0, api.VerdictWarning, "it has failed: no space left"},
		{"keeps failing", []error{broken, broken, broken}, 0, api.VerdictCritical, "failed 3 times in a row: no space left"},
		{"is well again", []error{broken, broken, broken, nil}, 0, api.VerdictOK, ""},
		{"says itself how bad it is", []error{&finding{api.VerdictCritical, "the end is near"}}, 0, api.VerdictCritical, "the end is near"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			now := time.Unix(1000, 0)
			p := parts{now: func() time.Time { return now }, parts: map[string]*part{}}
			p.expect("loop", time.Minute)
			for _, err := range test.runs {
				began := now
				now = now.Add(2 * time.Second)
				p.report("loop", began, partValues{"left": 7}, err)
			}
			now = now.Add(test.silence)
			status := p.list()[0]
			if status.Verdict != test.verdict || !strings.Contains(status.Finding, test.finding) || (test.finding == "") != (status.Finding == "") {
				t.Errorf("got %s, %q; want %s, %q", status.Verdict, status.Finding, test.verdict, test.finding)
			}
			if len(test.runs) > 0 && (status.TookSeconds != 2 || status.Values["left"] != 7 || status.LastRun == 0) {
				t.Errorf("of the last run it says %+v", status)
			}
		})
	}
}

func TestAPartThatIsForgotten(t *testing.T) {
	p := parts{now: time.Now, parts: map[string]*part{}}
	p.expect("loop", time.Nanosecond)
	looks := 0
	p.watch(t.Context(), "loop", time.Nanosecond, func(context.Context) (partValues, error) {
		if looks++; looks == 3 {
			p.forget("loop")
		}
		return nil, nil
	})
	if looks != 3 || len(p.list()) != 0 {
		t.Errorf("it was looked at %d times, and %d parts are there", looks, len(p.list()))
	}
}

func TestFreeFinding(t *testing.T) {
	for _, test := range []struct {
		free    float64
		verdict api.Verdict
	}{{50, ""}, {10, ""}, {9, api.VerdictWarning}, {3, api.VerdictWarning}, {2, api.VerdictCritical}, {0, api.VerdictCritical}} {
		err := freeFinding(test.free, 100)
		var found *finding
		if errors.As(err, &found) != (test.verdict != "") || found != nil && found.verdict != test.verdict {
			t.Errorf("%v of 100 bytes: got %v, want %s", test.free, err, test.verdict)
		}
	}
}
