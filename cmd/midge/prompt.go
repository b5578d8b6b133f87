package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
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

// askSecret asks for a line of text without showing it. An interrupt is an error.
func (p *program) askSecret(question string) (secret string, err error) {
	err = p.askSecretUntil(p.stdin, question, func(text string) error {
		secret = text
		return nil
	})
	if err == nil && secret == "" {
		return "", errNoAnswer
	}
	return secret, err
}

// askSecretUntil is askSecret that asks again while accept has an error, which it shows.
// The terminal sends to input.
func (p *program) askSecretUntil(input io.Reader, question string, accept func(text string) error) (err error) {
	fd := int(p.stdin.Fd())
	// The echo is off before the question is there, or hasty fingers would be shown.
	before, err := term.MakeRaw(fd)
	if err != nil {
		return fmt.Errorf("switch off the terminal's echo: %w", err)
	}
	defer func() { err = errors.Join(err, term.Restore(fd, before)) }()
	terminal := term.NewTerminal(console{input, p.stderr}, "")
	for {
		text, err := terminal.ReadPassword(question)
		if err == io.EOF {
			return errors.New("interrupted")
		}
		if err != nil {
			return err
		}
		if err = accept(text); err == nil {
			return nil
		}
		fmt.Fprintf(terminal, "%v\n", err)
	}
}

// console is both directions of a terminal.
type console struct {
	io.Reader
	io.Writer
}
