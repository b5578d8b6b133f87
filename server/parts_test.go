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

func TestDiskSpace(t *testing.T) {
	const minimum, waits = 5, "new builds wait"
	for _, test := range []struct {
		free, freeFiles, files float64
		verdict                api.Verdict
		text                   string
		pauses                 bool
	}{
		{50, 0, 0, "", "", false}, // it can have any number of files
		{10, 500, 1000, "", "", false},
		{9, 500, 1000, api.VerdictWarning, "9 % of the data dir's disk", false},
		{9, 95, 1000, api.VerdictWarning, "9 % of the data dir's disk", false},
		{2, 500, 1000, api.VerdictCritical, waits, true},
		{50, 100, 1000, "", "", false},
		{50, 90, 1000, api.VerdictWarning, "9 % more files", false},
		{9, 20, 1000, api.VerdictCritical, "2 % more files", false},
		{50, 10, 1000, api.VerdictCritical, "1 % more files", false},
		{50, 9, 1000, api.VerdictCritical, "can have 9 more files, of 1000: " + waits, true},
		{2, 9, 1000, api.VerdictCritical, "less than min-free-space", true},
	} {
		space := diskSpace{test.free, 100, test.freeFiles, test.files}
		err := space.finding(minimum)
		var found *finding
		if errors.As(err, &found) != (test.verdict != "") || found != nil && (found.verdict != test.verdict || !strings.Contains(found.text, test.text)) {
			t.Errorf("%+v: got %v, want %s with %q", space, err, test.verdict, test.text)
		}
		if why := space.pause(minimum); strings.Contains(why, waits) != test.pauses {
			t.Errorf("%+v: builds wait because %q, want that they do: %v", space, why, test.pauses)
		}
		if why := space.pause(0); why != "" {
			t.Errorf("%+v: builds wait without a minimum: %q", space, why)
		}
	}
	if space := (diskSpace{2, 100, 500, 1000}); space.finding(0).(*finding).verdict != api.VerdictCritical {
		t.Errorf("%+v is found to be %v", space, space.finding(0))
	}
}
