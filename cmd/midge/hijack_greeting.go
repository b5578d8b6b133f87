package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"midge/api"
	"midge/terminal"
)

// greets tells whether a person is told where they are, and for how long it will be there:
// who comes for a shell is, and who runs a command sees its output alone.
func (s *hijackSession) greets() bool {
	return s.isShell && s.options.Terminal != nil && s.program.stderr.terminal && !s.program.flags.quiet
}

// prepareGreeting has the person greeted once the shell is there, and the task's command
// in its history.
func (s *hijackSession) prepareGreeting(ctx context.Context) {
	// What is not known is not said, and is no reason not to open the shell.
	container, err := s.client.Container(ctx, s.container.ID)
	if err != nil || container.Task == nil { // a Concourse does not know
		return
	}
	remembered := false
	for i := range s.options.Processes {
		if process := &s.options.Processes[i]; process.Path == "bash" {
			remembered = remember(process, container.Task.Command)
		}
	}
	s.options.Began = func(_ string, command []string) {
		s.say("%s", greeting(container, remembered && command[0] == "bash"))
	}
}

// greeting says what container somebody is in.
func greeting(container api.Container, remembered bool) string {
	held, had := "held", "had"
	if container.Task.Status == "started" {
		held, had = "running", "has"
	}
	parts := []string{
		fmt.Sprintf("%s: step %s of build %d%s", held, terminal.Line(container.StepName), container.BuildID, ended(container.Task)),
		fmt.Sprintf("cwd and env as the task %s them", had),
	}
	if remembered {
		parts = append(parts, "↑ brings back its command")
	}
	return strings.Join(parts, " · ")
}

// ended says how a task has ended, "" while it runs.
func ended(task *api.ContainerTask) string {
	switch {
	case task.Status == "started":
		return ""
	case task.ExitStatus != nil && *task.ExitStatus != 0:
		return fmt.Sprintf(", %s with exit %d", terminal.Line(task.Status), *task.ExitStatus)
	}
	return ", " + terminal.Line(task.Status)
}

// remember has a bash begin with a command in its history. It is in no file of the
// container: bash runs what PROMPT_COMMAND says before its first prompt, and that takes
// itself out of the environment again. It reports false for a command that is too long.
func remember(bash *api.HijackProcess, command []string) bool {
	// A variable may have 128 KiB.
	const most = 16 << 10
	line := shellLine(command)
	if line == "" || len(line) > most {
		return false
	}
	bash.Env = append(bash.Env, "PROMPT_COMMAND=unset PROMPT_COMMAND; history -s -- "+terminal.ShellWord(line))
	return true
}

// shellLine writes a command as one would type it.
func shellLine(command []string) string {
	var words []string
	for _, word := range command {
		words = append(words, terminal.ShellWord(word))
	}
	return strings.Join(words, " ")
}

// sayFarewell says how long the container stays, and what to do about it.
func (s *hijackSession) sayFarewell(ctx context.Context) {
	container, err := s.client.Container(ctx, s.container.ID)
	if err != nil || container.Task == nil || container.Task.Status == "started" {
		return
	}
	if remaining, err := time.ParseDuration(container.ExpiresIn); err == nil {
		s.say("released in %s; midge hold %[2]d keeps it, midge release %[2]d lets it go", shortDuration(remaining), container.BuildID)
	}
}
