package main

import (
	"os"
	"sync/atomic"

	"golang.org/x/term"
)

// stream is stdout or stderr.
type stream struct {
	*os.File
	terminal bool // a person reads it
	colour   bool // and wants colours
	lost     atomic.Pointer[error]
}

func newStream(file *os.File, lookupEnv func(string) (string, bool)) *stream {
	terminal := term.IsTerminal(int(file.Fd()))
	plain, _ := lookupEnv("NO_COLOR")
	name, _ := lookupEnv("TERM")
	return &stream{File: file, terminal: terminal, colour: terminal && plain == "" && name != "dumb"}
}

// Write writes what a command prints, and keeps the error of what is lost: those who show
// how a build goes have nobody to give it to.
func (s *stream) Write(p []byte) (int, error) {
	n, err := s.File.Write(p)
	if err != nil {
		s.lost.CompareAndSwap(nil, &err)
	}
	return n, err
}

// WriteString implements io.StringWriter.
func (s *stream) WriteString(text string) (int, error) { return s.Write([]byte(text)) }

// style is what a terminal is told before a text.
type style string

const (
	bold   style = "\x1b[1m"
	faint  style = "\x1b[2m"
	red    style = "\x1b[31m"
	green  style = "\x1b[32m"
	yellow style = "\x1b[33m"
)

// paint gives text in a style, where the stream has any.
func (s *stream) paint(style style, text string) string {
	if !s.colour || style == "" || text == "" {
		return text
	}
	return string(style) + text + "\x1b[0m"
}
