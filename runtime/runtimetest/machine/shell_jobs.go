package machine

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func trap(s *shell, args []string) int {
	args = args[1:]
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		for signal, action := range s.traps {
			fmt.Fprintf(s.program.writer(1), "trap -- '%s' %s\n", action, signal)
		}
		return 0
	}
	action, signals := args[0], args[1:]
	if len(signals) == 0 {
		action, signals = "-", args
	}
	for _, signal := range signals {
		name, ok := signalName(signal)
		if signal == "EXIT" || signal == "0" {
			name, ok = "EXIT", true
		}
		if !ok {
			return s.fail(1, "trap: bad trap: %s", signal)
		}
		s.setTrap(name, action, action == "-")
	}
	return 0
}

// wait waits for jobs; a signal that is trapped ends the waiting.
func wait(s *shell, args []string) int {
	waited := slices.Clone(s.jobs)
	if len(args) > 1 {
		waited = nil
		for _, arg := range args[1:] {
			pid, err := strconv.Atoi(arg)
			at := slices.IndexFunc(s.jobs, func(job *program) bool { return job.pid == pid })
			if err != nil || at < 0 {
				return 127
			}
			waited = append(waited, s.jobs[at])
		}
	}
	status := 0
	for _, job := range waited {
		select {
		case signal := <-s.signals:
			return s.interrupted(signal)
		case <-s.program.ctx.Done():
			panic(exit(1))
		case <-job.done:
			if len(args) > 1 {
				status = job.status.Code
			}
			s.jobs = slices.DeleteFunc(s.jobs, func(other *program) bool { return other == job })
		}
	}
	return status
}

// interrupted puts a signal back to be handled, and gives the status it leaves.
func (s *shell) interrupted(signal string) int {
	select {
	case s.signals <- signal:
	default:
	}
	return 128 + signalNumbers[signal]
}

func jobs(s *shell, _ []string) int {
	for i, job := range s.jobs {
		state := "Running"
		select {
		case <-job.done:
			state = "Done"
		default:
		}
		fmt.Fprintf(s.program.writer(1), "[%d] %s %d\n", i+1, state, job.pid)
	}
	return 0
}

// kill sends a signal to programs by their ids; 0 and negative ids are the session.
func kill(s *shell, args []string) int {
	return killPrograms(&call{program: s.program, args: args, env: s.environment()})
}

func killPrograms(c *call) int {
	signal, targets := "TERM", c.args[1:]
	if len(targets) > 1 && targets[0] == "-s" {
		signal, targets = targets[1], targets[2:]
	} else if len(targets) > 1 && strings.HasPrefix(targets[0], "-") {
		signal, targets = targets[0][1:], targets[1:]
	}
	if len(targets) > 0 && targets[0] == "--" {
		targets = targets[1:]
	}
	name, ok := signalName(signal)
	if !ok && signal != "0" {
		return c.fail(1, "unknown signal %s", signal)
	}
	status := 0
	for _, target := range targets {
		pid, err := strconv.Atoi(target)
		if err != nil {
			return c.fail(2, "illegal pid: %s", target)
		}
		found := c.program.machine.running(func(p *program) bool {
			return p.pid == pid || pid <= 0 && p.session == c.program.session
		})
		if len(found) == 0 {
			status = c.fail(1, "(%d) - No such process", pid)
		}
		for _, p := range found {
			if signal != "0" {
				p.deliver(name)
			}
		}
	}
	return status
}
