package main

import (
	"os/exec"
	"strings"
	"testing"

	"midge/api"
)

func TestGreeting(t *testing.T) {
	zero, one := 0, 1
	tests := []struct {
		task       api.ContainerTask
		remembered bool
		want       string
	}{
		{api.ContainerTask{Status: "failed", ExitStatus: &one}, true,
			"held: step unit of build 12, failed with exit 1 · cwd and env as the task had them · ↑ brings back its command"},
		{api.ContainerTask{Status: "succeeded", ExitStatus: &zero}, false,
			"held: step unit of build 12, succeeded · cwd and env as the task had them"},
		{api.ContainerTask{Status: "errored"}, false,
			"held: step unit of build 12, errored · cwd and env as the task had them"},
		{api.ContainerTask{Status: "started"}, false,
			"running: step unit of build 12 · cwd and env as the task has them"},
	}
	for _, test := range tests {
		container := api.Container{StepName: "unit", BuildID: 12, Task: &test.task}
		if got := greeting(container, test.remembered); got != test.want {
			t.Errorf("%+v: got %q, want %q", test.task, got, test.want)
		}
	}
}

// What is typed for a command is that command again.
func TestShellLine(t *testing.T) {
	commands := [][]string{
		{"printf", "%s|", "plain", "", "it's", `"$HOME" \ *`, "two\nlines", "-n", "~", "a=b", "é"},
	}
	for _, command := range commands {
		got, err := exec.Command("sh", "-c", shellLine(command)).Output()
		if want := strings.Join(command[2:], "|") + "|"; err != nil || string(got) != want {
			t.Errorf("%q prints %q, %v; want %q", shellLine(command), got, err, want)
		}
	}
}

func TestRemember(t *testing.T) {
	for _, test := range []struct {
		command []string
		want    []string
	}{
		{[]string{"sh", "-c", "it's"}, []string{`PROMPT_COMMAND=unset PROMPT_COMMAND; history -s -- 'sh -c '\''it'\''\'\'''\''s'\'''`}},
		{nil, nil},
		{[]string{strings.Repeat("x", 16<<10+1)}, nil},
	} {
		var bash api.HijackProcess
		remembered := remember(&bash, test.command)
		if remembered != (test.want != nil) || strings.Join(bash.Env, "\n") != strings.Join(test.want, "\n") {
			t.Errorf("%.20q: got %t, %q; want %q", test.command, remembered, bash.Env, test.want)
		}
	}
}
