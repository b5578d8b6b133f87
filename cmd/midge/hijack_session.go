package main

import (
	"context"
	"errors"
	"fmt"

	"midge/api"
	"midge/client"
	"midge/hijack"
	"midge/terminal"
)

// exitNotRun is the exit status when the command could not be run.
const exitNotRun = 255

// hijackSession joins the user's terminal, or stdin and stdout, to a session in a container.
type hijackSession struct {
	program   *program
	client    *client.Client
	container api.Container
	options   hijack.Options
	isShell   bool             // no command was named
	records   *sessionRecorder // of --json, instead of all else; nil for none

	result hijack.Result
}

func newHijackSession(p *program, c *client.Client, options hijack.Options) *hijackSession {
	s := &hijackSession{program: p, client: c, options: options}
	s.options.Heard = true // it has told of the container
	s.options.Stdout, s.options.Stderr = p.stdout, p.stderr
	switch {
	case p.flags.json:
		s.records = newSessionRecorder(p.stdout)
		s.options.Stdin = p.stdin
		s.options.Stdout, s.options.Stderr, s.options.Notices = s.records.stdout, s.records.stderr, s.records.notices
	case hijack.IsTerminal(p.stdin) && p.stdout.terminal:
		s.options.Terminal = &hijack.Terminal{In: p.stdin, Out: p.stdout.File}
	default:
		s.options.Stdin = p.stdin
		s.options.Quiet = s.options.Quiet || !p.stderr.terminal // nobody is there to be told
	}
	return s
}

// run goes on until the command has ended or the user has left the session.
func (s *hijackSession) run(ctx context.Context) (err error) {
	s.options.Endpoint.URL, s.options.Endpoint.Client, s.options.Endpoint.Header = s.client.HijackEndpoint(s.container.ID)
	name, _ := s.program.lookupEnv("TERM")
	for i := range s.options.Processes {
		s.options.Processes[i].Env = []string{"TERM=" + name}
	}
	if s.records != nil {
		s.options.Began = func(session string, command []string) { s.records.began(s.container, session, command) }
	}
	greets := s.greets()
	if greets {
		s.prepareGreeting(ctx)
	}
	s.program.leaveQuit() // it is for the session
	s.result, err = hijack.Run(ctx, s.options)
	s.program.measurement.session(s.result.Usage)
	if greets && err == nil && !s.result.Detached {
		s.sayFarewell(ctx)
	}
	return s.explain(err)
}

// explain gives what the command ends with when the session ended with err.
func (s *hijackSession) explain(err error) error {
	var (
		refused *hijack.Error
		signal  *hijack.SignalError
		gone    *hijack.ResponseError
	)
	switch {
	case errors.As(err, &signal):
		return fmt.Errorf("%w; it goes on, attach to it again with: midge hijack --attach %s", err, s.result.Session)
	case errors.As(err, &gone):
		return fmt.Errorf("container %s cannot be hijacked: %w", terminal.Line(s.container.ID), err)
	case errors.As(err, &refused) && refused.Code == hijack.CodeNotFound && s.isShell && len(s.options.Processes) > 1:
		return &failure{errors.New("the container has no shell, neither bash nor sh: name a command it has after --"), exitNotRun}
	case errors.As(err, &refused) && refused.Code == hijack.CodeNotFound && s.isBuild():
		return &failure{fmt.Errorf("%w; the build of that number is meant by: midge hijack -b %[2]s", err, s.options.Processes[0].Path), exitNotRun}
	case errors.As(err, &refused):
		return &failure{err, exitNotRun}
	case err != nil:
		return err
	case s.result.ExitStatus != 0 && s.result.OOMKilled:
		return &failure{errors.New("the memory of the container was used up, and a process in it was killed for that"), s.result.ExitStatus}
	case s.result.ExitStatus != 0:
		return exitStatus(s.result.ExitStatus)
	}
	return nil
}

// isBuild tells whether the command looks like a build's id, which other commands take as
// their argument.
func (s *hijackSession) isBuild() bool {
	if len(s.options.Processes) == 0 {
		return false
	}
	_, err := parseBuildID(s.options.Processes[0].Path)
	return err == nil
}

// conclude says how the session ended, and gives what the command ends with.
func (s *hijackSession) conclude(ctx context.Context, err error) error {
	if s.records != nil {
		if failed := s.records.end(s.container, s.result, err); err == nil {
			err = failed
		}
		return err
	}
	if s.result.Detached {
		s.say("the session goes on; attach to it again with: midge hijack --attach %s", s.result.Session)
	}
	return err
}

// say tells the person at the terminal.
func (s *hijackSession) say(format string, args ...any) {
	fmt.Fprintln(s.program.stderr, s.program.typed(fmt.Sprintf(format, args...)))
}
