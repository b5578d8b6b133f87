package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"midge/api"
	"midge/client"
	"midge/execute"
	"midge/server/servertest"
)

// buildOfTasks runs a build with tasks of these names, which fail, to its end.
func buildOfTasks(t *testing.T, server *servertest.Server, names ...string) {
	t.Helper()
	c, err := client.New(client.Options{URL: "unix://" + server.Socket})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var steps []string
	for i, name := range names {
		steps = append(steps, fmt.Sprintf(`{"id":"t%d","task":{"name":%q,"hold":"1h","config":{"platform":"linux","run":{"path":"sh","args":["-c","echo %s > name; exit 1"]}}}}`, i, name, name))
	}
	var plan api.Plan
	if err := json.Unmarshal([]byte(`{"id":"p","in_parallel":{"steps":[`+strings.Join(steps, ",")+`]}}`), &plan); err != nil {
		t.Fatal(err)
	}
	build, err := c.CreateBuild(t.Context(), plan, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := execute.Follow(t.Context(), c, build.ID, func(execute.Happened) {}); err != nil {
		t.Fatal(err)
	}
}

// Of several containers a person picks one by typing a part of what it is called, or with
// the arrow keys; where nobody can be asked, the command for each is listed.
func TestHijackOfSeveralContainers(t *testing.T) {
	server, dir := startServer(t)
	buildOfTasks(t, server, "lint", "unit", "vet")
	hijack := []string{"hijack", "-b", "1", "--", "cat", "name"}
	for _, test := range []struct{ keys, want string }{
		{"\r", "lint"},
		{"\x1b[B\r", "unit"},
		{"\x1b[B\x1b[B\r", "vet"},
		{"vet\r", "vet"},
		{"unit\r", "unit"},
	} {
		c := onTerminal(t, dir, []string{socketOf(server)}, hijack...)
		c.await("task, build 1, step vet")
		c.enter(test.keys)
		if shown, exit := c.exits(); exit != 0 || !strings.HasSuffix(strings.TrimSpace(shown), test.want) {
			t.Errorf("%q: exit status %d, shown is\n%q", test.keys, exit, shown)
		}
	}

	c := onTerminal(t, dir, []string{socketOf(server), "TERM="}, hijack...)
	c.await("number between 1 and 3")
	c.enter("2\n")
	if shown, exit := c.exits(); exit != 0 || !strings.HasSuffix(strings.TrimSpace(shown), "unit") || strings.Contains(shown, "\x1b") {
		t.Errorf("on a terminal of no kind, exit status %d, shown is\n%q", exit, shown)
	}

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(self, hijack...)
	command.Env = append(os.Environ(), asMidge+"=1", "HOME="+dir, socketOf(server))
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); command.ProcessState.ExitCode() != 1 || stdout.Len() > 0 {
		t.Fatalf("%v: %s%s", err, &stdout, &stderr)
	}
	for _, name := range []string{"lint", "unit", "vet"} {
		if want := "  # task, build 1, step " + name + ", on memory\n"; strings.Count(stderr.String(), want) != 1 {
			t.Errorf("stderr does not have %q:\n%s", want, &stderr)
		}
	}

	command = midgeCommand(t, dir, []string{socketOf(server)}, "cat", "1:name")
	stderr.Reset()
	command.Stderr = &stderr
	if err := command.Run(); err == nil || strings.Count(stderr.String(), ":name  # task, build 1, step ") != 3 || strings.Contains(stderr.String(), "hijack") {
		t.Errorf("%v, stderr is\n%s", err, &stderr)
	}
}

// A list of more containers than the terminal has lines leaves the question, and the first of
// them, on the screen.
func TestHijackOfManyContainers(t *testing.T) {
	server, dir := startServer(t)
	names := make([]string, 40)
	for i := range names {
		names[i] = fmt.Sprintf("step%02d", i)
	}
	buildOfTasks(t, server, names...)
	c := onTerminal(t, dir, []string{socketOf(server)}, "hijack", "-b", "1", "--", "cat", "name")
	shown := c.await("submit")
	for _, want := range []string{"Which container?", "step00", "step15"} {
		if !strings.Contains(shown, want) {
			t.Errorf("%q is not shown:\n%q", want, shown)
		}
	}
	if strings.Contains(shown, "step30") || strings.Contains(shown, "back") {
		t.Errorf("more is shown than fits, or keys that do nothing:\n%q", shown)
	}
	c.enter("step33\r")
	if shown, exit := c.exits(); exit != 0 || !strings.HasSuffix(strings.TrimSpace(shown), "step33") {
		t.Errorf("exit status %d, shown is\n%q", exit, shown)
	}
}

func TestListHeight(t *testing.T) {
	containers := make([]api.Container, 10)
	for i := range containers {
		containers[i] = api.Container{Type: "task", BuildName: "1", StepName: "unit", WorkerName: "vm"} // task, build 1, step unit, on vm
	}
	for _, test := range []struct{ columns, rows, want int }{
		{80, 24, 11},
		{80, 14, 11},
		{80, 10, 7},
		{20, 60, 21},
		{2, 2, 1},
		{0, 0, 1},
	} {
		if got := listHeight(containers, test.columns, test.rows); got != test.want {
			t.Errorf("on %d by %d it is %d, want %d", test.columns, test.rows, got, test.want)
		}
	}
}
