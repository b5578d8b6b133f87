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
}
