package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"midge/api"
)

// printed gives what a program prints that has no terminal.
func printed(t *testing.T, print func(*program) error) string {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	p := &program{stdout: &stream{File: file}, stderr: &stream{File: file}}
	if err := print(p); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func rows(t *testing.T, table table) []string {
	t.Helper()
	return strings.Split(strings.TrimSuffix(printed(t, func(p *program) error { return p.print(table) }), "\n"), "\n")
}

// What a server answers cannot reach the terminal as more than text.
func TestTablesAreOnlyText(t *testing.T) {
	got := rows(t, containersTable([]api.Container{{ID: "\x1b]0;owned\a\x1b[2Jhandle\nnext", WorkerName: "w\u009b31m", Type: "task"}}))
	if len(got) != 1 || strings.ContainsAny(got[0], "\x1b\a\u009b") || !strings.HasPrefix(got[0], "handle next  ") {
		t.Errorf("%q", got)
	}
}

func TestErrorsAreOnlyText(t *testing.T) {
	got := printed(t, func(p *program) error {
		p.fail(&os.PathError{Op: "open", Path: "\x1b[2Jname", Err: os.ErrNotExist})
		return nil
	})
	if got != "midge: open name: file does not exist\n" {
		t.Errorf("%q", got)
	}
}

func TestBuildTimes(t *testing.T) {
	now := time.Unix(1_000_100, 0).UTC()
	tests := []struct {
		build                api.Build
		start, end, duration string
	}{
		{api.Build{}, "n/a", "n/a", "n/a"},
		{api.Build{StartTime: 1_000_000}, "1970-01-12@13:46:40+0000", "n/a", "1m40s+"},
		{api.Build{StartTime: 1_000_000, EndTime: 1_000_007}, "1970-01-12@13:46:40+0000", "1970-01-12@13:46:47+0000", "7s"},
	}
	for _, test := range tests {
		start, end, duration := buildTimes(test.build, now)
		if start != test.start || end != test.end || duration != test.duration {
			t.Errorf("%+v: %s, %s, %s", test.build, start, end, duration)
		}
	}
}

func TestBuildsOfPipelines(t *testing.T) {
	got := rows(t, buildsTable([]api.Build{{ID: 7, Name: "3", PipelineName: "p", JobName: "j", Status: api.StatusPending, TeamName: "main"}}))
	if want := "7  p/j/3  pending  n/a  n/a  n/a  main  system"; got[0] != want {
		t.Errorf("%q, want %q", got[0], want)
	}
}

func TestAge(t *testing.T) {
	now := time.Unix(10_000_000, 0)
	for since, want := range map[int64]string{
		0: "n/a", 10_000_001: "n/a", 9_999_999: "1s", 9_999_930: "1m10s", 9_990_000: "2h46m", 9_000_000: "11d",
	} {
		if got := age(since, now); got != want {
			t.Errorf("age since %d is %s, want %s", since, got, want)
		}
	}
}

func TestVolumes(t *testing.T) {
	container := api.Volume{ID: "v", WorkerName: "w", Type: "container", ContainerHandle: "c", Path: "/p", ParentHandle: "x"}
	cache := api.Volume{ID: "v", WorkerName: "w", Type: "task-cache", PipelineName: "p", JobName: "j", StepName: "s"}
	for _, test := range []struct {
		volume  api.Volume
		details bool
		want    string
	}{
		{container, false, "v  w  container  c"},
		{container, true, "v  w  container  container:c,path:/p,parent:x"},
		{cache, false, "v  w  task-cache  p/j/s"},
		{api.Volume{ID: "v", WorkerName: "w", Type: "task-cache", Path: ".gocache", StepName: "one-off"}, false, "v  w  task-cache  one-off:.gocache"},
		{api.Volume{ID: "v", WorkerName: "w", Type: "artifact"}, false, "v  w  artifact  n/a"},
	} {
		if got := rows(t, volumesTable([]api.Volume{test.volume}, test.details)); got[0] != test.want {
			t.Errorf("%q, want %q", got[0], test.want)
		}
	}
}

func TestWorkers(t *testing.T) {
	worker := api.Worker{Name: "w", ActiveContainers: 2, Platform: "linux", Tags: []string{"a", "b"}, State: "running", Version: "3.0",
		StartTime: 1, ActiveTasks: 1, ResourceTypes: []any{map[string]any{"type": "git"}, map[string]any{"type": "time"}}}
	got := rows(t, workersTable([]api.Worker{worker}, true, time.Unix(6, 0)))
	if want := "w  2  linux  a, b  none  running  3.0  5s  none  none  1  git, time"; got[0] != want {
		t.Errorf("%q, want %q", got[0], want)
	}
}

func TestStampLines(t *testing.T) {
	for _, test := range []struct {
		output string
		begins bool
		want   string
	}{
		{"a\nb\n", true, "T a\nT b\n"},
		{"rest\nnext", false, "rest\nT next"},
		{"", true, ""},
	} {
		if got := stampLines([]byte(test.output), "T ", test.begins); string(got) != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}

func TestCommandLine(t *testing.T) {
	long := strings.Repeat("x", 2*maxCommandLine)
	for _, test := range []struct {
		run  api.EventTaskRun
		want string
	}{
		{api.EventTaskRun{Path: "make", Args: []string{"test"}}, "make test"},
		{api.EventTaskRun{Path: "sh", Args: []string{"-c", "one\ntwo\n"}}, "sh -c one ..."},
		{api.EventTaskRun{Path: long}, long[:maxCommandLine] + " ..."},
	} {
		if got := commandLine(test.run); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}

func TestEmptyListInJSON(t *testing.T) {
	got := printed(t, func(p *program) error {
		p.flags.json = true
		return answer[api.Build](p, nil, buildsTable)
	})
	if got != "[]\n" {
		t.Errorf("%q", got)
	}
}

// A session that has ended, and whose client has not come back to hear it, is no session that runs.
func TestSessions(t *testing.T) {
	listed := sessionsTable([]api.HijackSession{{Clients: 2}, {}, {EndTime: 1_000_000}})
	for i, want := range []string{"2", "0", "ended"} {
		if got := listed.rows[i][4].text; got != want {
			t.Errorf("session %d has the clients %q, want %q", i, got, want)
		}
	}
}
