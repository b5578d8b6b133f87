package machine

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
)

// executable is a command that a file stands for.
type executable struct {
	command func(*call) int
	// interpreter is what goes before the arguments when the file is a script.
	interpreter []string
	path        string // of the file
}

// arguments gives the arguments that the command gets, of those the file was called with.
func (e executable) arguments(args []string) []string {
	if e.interpreter == nil {
		return args
	}
	script := e.path
	if strings.Contains(args[0], "/") {
		script = args[0]
	}
	return slices.Concat(e.interpreter, []string{script}, args[1:])
}

// ExecError tells that a file is there and cannot be executed.
type ExecError struct {
	Path string
	Err  error
}

func (e *ExecError) Error() string { return fmt.Sprintf("exec %s: %v", e.Path, e.Err) }
func (e *ExecError) Unwrap() error { return e.Err }

// commandMark begins the contents of a file that is a command of the machine; its
// name follows.
const commandMark = "\x7fMACHINE:"

// executable gives what the file at an absolute path runs.
func (m *Machine) executable(name string) (executable, error) {
	const maxInterpreters = 4
	var interpreters []string
	file := name
	for range maxInterpreters {
		info, err := m.files.Stat(file)
		if err != nil {
			return executable{}, err
		}
		if !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			return executable{}, &ExecError{file, syscall.EACCES}
		}
		contents, err := m.files.ReadFile(file)
		if err != nil {
			return executable{}, err
		}
		line, _, _ := bytes.Cut(contents[:min(len(contents), 256)], []byte("\n"))
		if builtin, ok := strings.CutPrefix(string(line), commandMark); ok {
			command, ok := commands[builtin]
			if !ok {
				return executable{}, &ExecError{file, syscall.ENOEXEC}
			}
			return executable{command, interpreters, name}, nil
		}
		interpreter, ok := strings.CutPrefix(string(line), "#!")
		if !ok {
			return executable{}, &ExecError{file, syscall.ENOEXEC}
		}
		interpreter, argument, _ := strings.Cut(strings.TrimSpace(interpreter), " ")
		called := []string{interpreter}
		if argument != "" {
			called = append(called, strings.TrimSpace(argument))
		}
		interpreters = append(called, interpreters...)
		file = interpreter
	}
	return executable{}, &ExecError{name, syscall.ELOOP}
}

// lookPath gives the path of the command that a program names.
func (p *program) lookPath(name, searched string) (string, error) {
	if strings.Contains(name, "/") {
		_, err := p.machine.files.Stat(p.path(name))
		return p.path(name), err
	}
	return p.machine.LookPath(name, searched, p.dir)
}

// LookPath gives the path of the first executable of a name in a PATH. A name
// that is nowhere is a fs.ErrNotExist; one that is there, but not executable, is
// an *ExecError.
func (m *Machine) LookPath(name, searched, dir string) (string, error) {
	var found error = fs.ErrNotExist
	for _, directory := range strings.Split(searched, ":") {
		if !strings.HasPrefix(directory, "/") {
			directory = dir + "/" + directory
		}
		candidate := path.Join(directory, name)
		info, err := m.files.Stat(candidate)
		if err != nil || info.IsDir() {
			continue
		}
		if info.Mode()&0o111 == 0 {
			found = &ExecError{candidate, syscall.EACCES}
			continue
		}
		return candidate, nil
	}
	return "", found
}
