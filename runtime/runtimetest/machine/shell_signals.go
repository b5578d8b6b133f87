package machine

import (
	"context"
	"errors"
	"io"
	"strings"
)

// take is the shell's answer to a signal, from any goroutine: true when it is
// trapped or does nothing to it.
func (s *shell) take(signal string) bool {
	s.program.mu.Lock()
	_, trapped := s.trapped(signal)
	interactive := s.interactive
	s.program.mu.Unlock()
	if !trapped && !(interactive && (signal == "INT" || signal == "TERM" || signal == "QUIT")) {
		return false
	}
	select {
	case s.signals <- signal:
	default:
		// As a kernel does, signals that wait already are not counted.
	}
	return true
}

// trapped gives the action of a signal. The program's mutex is held, since
// signals come from other goroutines.
func (s *shell) trapped(signal string) (string, bool) {
	action, ok := s.traps[signal]
	return action, ok
}

// setTrap sets what a signal does: action, nothing when that is "", or its
// default when reset.
func (s *shell) setTrap(signal, action string, reset bool) {
	if signal != "EXIT" {
		s.program.ignore(signal, !reset && action == "")
	}
	s.program.mu.Lock()
	defer s.program.mu.Unlock()
	if reset {
		delete(s.traps, signal)
	} else {
		s.traps[signal] = action
	}
}

// checkSignals ends the shell when it was killed, and runs the traps of signals that came.
func (s *shell) checkSignals() {
	if s.program.ctx.Err() != nil {
		panic(exit(1))
	}
	for !s.trapping {
		select {
		case signal := <-s.signals:
			s.runTrap(signal)
		default:
			return
		}
	}
}

func (s *shell) runTrap(signal string) {
	s.program.mu.Lock()
	action, ok := s.trapped(signal)
	s.program.mu.Unlock()
	if !ok || action == "" {
		return
	}
	status := s.status
	s.trapping = true
	defer func() { s.trapping = false }()
	s.evaluate(action)
	s.status = status
}

// errInterrupted tells that an interactive shell's reading was interrupted.
var errInterrupted = errors.New("interrupted")

// readLine reads a line, with its end, byte by byte: what follows is for the
// commands that the shell runs.
func (s *shell) readLine(number int) (string, error) {
	held, ok := s.program.descriptors[number]
	if !ok {
		return "", io.EOF
	}
	ctx, cancel := context.WithCancelCause(s.program.ctx)
	defer cancel(nil)
	interrupted := s.interruptible(cancel)
	defer interrupted()
	var line strings.Builder
	var b [1]byte
	for {
		n, err := held.read(ctx, b[:])
		if n > 0 {
			line.WriteByte(b[0])
			if b[0] == '\n' {
				return line.String(), nil
			}
		}
		switch {
		case s.program.ctx.Err() != nil:
			panic(exit(1))
		case err != nil && ctx.Err() != nil:
			return "", errInterrupted
		case err != nil:
			return line.String(), err
		}
	}
}

// interruptible cancels when a signal comes, until the function it gives is called.
func (s *shell) interruptible(cancel context.CancelCauseFunc) (end func()) {
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case signal := <-s.signals:
			cancel(errInterrupted)
			// It is still to be handled.
			select {
			case s.signals <- signal:
			default:
			}
		case <-stop:
		}
	}()
	return func() {
		close(stop)
		<-ended
	}
}
