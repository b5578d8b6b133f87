package runtimetest

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"midge/runtime"
	"midge/runtime/runtimetest/machine"
)

// executable gives the absolute path of a process's command.
func (c *container) executable(name, dir string, env []string) (string, error) {
	if name == "" {
		return "", &runtime.SpecError{Message: "the process has no path to run"}
	}
	if strings.Contains(name, "/") {
		if !path.IsAbs(name) {
			name = path.Join(dir, name)
		}
		return name, c.checkExecutable(name)
	}
	searched := ""
	for _, variable := range env {
		if value, ok := strings.CutPrefix(variable, "PATH="); ok {
			searched = value
		}
	}
	found, err := c.machine.LookPath(name, searched, dir)
	var unexecutable *machine.ExecError
	switch {
	case errors.As(err, &unexecutable):
		return "", c.checkExecutable(unexecutable.Path)
	case err != nil:
		return "", &runtime.ExecutableError{Path: name, Reason: fmt.Sprintf("%q is in no directory of PATH (%s)", name, searched)}
	}
	return found, c.checkExecutable(found)
}

// checkExecutable tells, by a *runtime.ExecutableError, why what is at an
// absolute path cannot be executed.
func (c *container) checkExecutable(name string) error {
	info, err := c.files.Stat(name)
	switch {
	case err != nil:
		return &runtime.ExecutableError{Path: name, Reason: fmt.Sprintf("%q is not there; %s", name, c.beside(name))}
	case info.IsDir():
		return &runtime.ExecutableError{Path: name, Found: true, Reason: fmt.Sprintf("%q is a directory; %s", name, c.beside(name))}
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return &runtime.ExecutableError{Path: name, Found: true,
			Reason: fmt.Sprintf("%q is not executable (its mode is %s); %s", name, info.Mode(), c.beside(name))}
	}
	return nil
}

// beside says what lies in the directory of a path.
func (c *container) beside(name string) string {
	const shown = 20
	dir := path.Dir(name)
	entries, err := c.files.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Sprintf("nor is %q", dir)
	}
	if err != nil {
		return fmt.Sprintf("%q cannot be read: %v", dir, err)
	}
	if len(entries) == 0 {
		return fmt.Sprintf("%q is empty", dir)
	}
	var names []string
	for _, entry := range entries[:min(len(entries), shown)] {
		names = append(names, entry.Name())
	}
	if len(entries) > shown {
		names = append(names, fmt.Sprintf("and %d more", len(entries)-shown))
	}
	return fmt.Sprintf("in %q are %s", dir, strings.Join(names, ", "))
}
