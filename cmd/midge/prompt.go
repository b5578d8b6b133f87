package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/term"
)

// errNoAnswer tells that a question was not answered.
var errNoAnswer = errors.New("nothing was entered")

// canAsk reports whether there is somebody to ask.
func (p *program) canAsk() bool {
	return p.stderr.terminal && term.IsTerminal(int(p.stdin.Fd()))
}

// ask asks for a line of text.
func (p *program) ask(question string) (string, error) {
	fmt.Fprint(p.stderr, question)
	// A larger buffer would swallow the answer to the next question.
	line, err := bufio.NewReaderSize(oneByte{p.stdin}, 16).ReadString('\n')
	line = strings.TrimSpace(line)
	if line == "" {
		return "", errNoAnswer
	}
	if err != nil && err != io.EOF {
		return "", err
	}
	return line, nil
}

// confirm asks a question whose answer is to be yes, and gives an error when it is not.
func (p *program) confirm(question string) error {
	if !p.canAsk() {
		return errors.New("there is no terminal to ask whether that is meant; say so with --non-interactive")
	}
	answer, err := p.ask(question + " [yN]: ")
	if err != nil && err != errNoAnswer {
		return err
	}
	switch strings.ToLower(answer) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was done")
}

// oneByte reads one byte at a time.
type oneByte struct{ io.Reader }

func (r oneByte) Read(b []byte) (int, error) { return r.Reader.Read(b[:min(1, len(b))]) }

// askSecret asks for a line of text without showing it.
func (p *program) askSecret(question string) (string, error) {
	fmt.Fprint(p.stderr, question)
	fd := int(p.stdin.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	// An interrupt must not leave the terminal without its echo.
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	defer signal.Stop(interrupted)
	type answer struct {
		secret []byte
		err    error
	}
	answered := make(chan answer, 1)
	go func() {
		secret, err := term.ReadPassword(fd)
		answered <- answer{secret, err}
	}()
	select {
	case a := <-answered:
		fmt.Fprintln(p.stderr)
		if a.err == nil && len(a.secret) == 0 {
			a.err = errNoAnswer
		}
		return string(a.secret), a.err
	case <-interrupted:
		err := term.Restore(fd, before)
		fmt.Fprintln(p.stderr)
		return "", errors.Join(errors.New("interrupted"), err)
	}
}
