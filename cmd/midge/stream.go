package main

import (
	"os"
	"runtime"
	"sync/atomic"

	"golang.org/x/term"
)

// stream is stdout or stderr.
type stream struct {
	*os.File
	terminal bool // a person reads it
	dumb     bool // and the terminal knows no more than lines, as that of an editor
	colour   bool // and wants colours
	lost     atomic.Pointer[error]
}

func newStream(file *os.File, lookupEnv func(string) (string, bool)) *stream {
	terminal := term.IsTerminal(int(file.Fd()))
	plain, _ := lookupEnv("NO_COLOR")
	name, _ := lookupEnv("TERM")
	dumb := terminal && (name == "dumb" || name == "" && runtime.GOOS != "windows") // whose terminals have no name
	return &stream{File: file, terminal: terminal, dumb: dumb, colour: terminal && !dumb && plain == ""}
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

// overKey has the next line begin where the terminal has shown the key that made a signal.
func (s *stream) overKey() string {
	if !s.terminal {
		return ""
	}
	return "\r"
}

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
