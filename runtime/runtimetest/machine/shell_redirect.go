package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// redirected runs a statement's command with its redirections.
func (s *shell) redirected(stmt *syntax.Stmt) {
	saved := map[int]*descriptor{}
	restore := func() {
		for number, held := range saved {
			s.program.set(number, held)
		}
	}
	defer func() { restore() }()
	for _, redirection := range stmt.Redirs {
		if err := s.redirect(redirection, saved); err != nil {
			s.complain("%v", err)
			s.status = 1
			return
		}
	}
	if stmt.Cmd == nil {
		s.status = 0
		return
	}
	if call, ok := stmt.Cmd.(*syntax.CallExpr); ok && len(call.Args) == 1 && call.Args[0].Lit() == "exec" {
		// Its redirections stay.
		restore = func() {
			for _, held := range saved {
				if held != nil {
					held.release()
				}
			}
		}
		s.status = 0
		return
	}
	s.command(stmt.Cmd)
}

// redirect does a redirection, and saves what was in its place.
func (s *shell) redirect(redirection *syntax.Redirect, saved map[int]*descriptor) error {
	number := 1
	switch redirection.Op {
	case syntax.RdrIn, syntax.RdrInOut, syntax.DplIn, syntax.Hdoc, syntax.DashHdoc:
		number = 0
	}
	if redirection.N != nil {
		n, err := strconv.Atoi(redirection.N.Value)
		if err != nil {
			return fmt.Errorf("%s: bad file descriptor", redirection.N.Value)
		}
		number = n
	}
	opened, err := s.openRedirection(redirection)
	if err != nil {
		return err
	}
	if _, ok := saved[number]; !ok {
		saved[number] = nil
		if held, ok := s.program.descriptors[number]; ok {
			saved[number] = held.hold()
		}
	}
	s.program.set(number, opened)
	return nil
}

// openRedirection gives what a redirection leads to, nil when it closes.
func (s *shell) openRedirection(redirection *syntax.Redirect) (*descriptor, error) {
	if redirection.Op == syntax.Hdoc || redirection.Op == syntax.DashHdoc {
		return s.hereDocument(redirection)
	}
	word, err := expand.Literal(s.expansion(), redirection.Word)
	if err != nil {
		return nil, err
	}
	var flags openFlags
	switch redirection.Op {
	case syntax.RdrIn:
	case syntax.RdrOut, syntax.RdrClob:
		flags = writing | creating | truncating
	case syntax.AppOut:
		flags = writing | creating | appending
	case syntax.RdrInOut:
		flags = writing | creating
	case syntax.DplIn, syntax.DplOut:
		if word == "-" {
			return nil, nil
		}
		number, err := strconv.Atoi(word)
		held, ok := s.program.descriptors[number]
		if err != nil || !ok {
			return nil, fmt.Errorf("%s: bad file descriptor", word)
		}
		return held.hold(), nil
	default:
		return nil, fmt.Errorf("redirection %s is not supported", redirection.Op)
	}
	opened, err := s.program.open(word, flags)
	if err != nil {
		return nil, fmt.Errorf("can't open %s: %v", word, cause(err))
	}
	return opened, nil
}

func (s *shell) hereDocument(redirection *syntax.Redirect) (*descriptor, error) {
	text := ""
	if redirection.Hdoc != nil {
		var err error
		if text, err = expand.Document(s.expansion(), redirection.Hdoc); err != nil {
			return nil, err
		}
	}
	if redirection.Op == syntax.DashHdoc {
		lines := strings.SplitAfter(text, "\n")
		for i := range lines {
			lines[i] = strings.TrimLeft(lines[i], "\t")
		}
		text = strings.Join(lines, "")
	}
	document := newPipe()
	document.buffer = []byte(text)
	document.noWriter = true
	return newDescriptor(readEnd{document}), nil
}

// cause gives the error below the operation and path that a *fs.PathError repeats.
func cause(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	return err
}
