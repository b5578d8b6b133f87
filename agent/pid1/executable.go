package pid1

import (
	"bufio"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// findExecutable is executableAt that finds out whether a command line was given as a path.
func findExecutable(path, dir, pathVariable string) (string, *Failure) {
	found, failure := executableAt(path, dir, pathVariable)
	program, arguments, several := strings.Cut(path, " ")
	if failure == nil || !several {
		return found, failure
	}
	if _, wrong := executableAt(program, dir, pathVariable); wrong == nil {
		failure.Message += fmt.Sprintf("; if %s is meant, %q is for its arguments: they are given apart from it, as in run.args", program, arguments)
	}
	return found, failure
}

// executableAt finds what path means for a process in dir with that PATH: a path with a slash
// is relative to dir, one without is looked up.
func executableAt(path, dir, pathVariable string) (string, *Failure) {
	if path == "" {
		return "", &Failure{Kind: FailedExecutable, Message: "there is no executable to run: the task has no run.path, and its image no entrypoint or command"}
	}
	if strings.Contains(path, "/") {
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		return path, checkExecutable(path)
	}
	var notExecutable *Failure
	for _, d := range filepath.SplitList(pathVariable) {
		if !filepath.IsAbs(d) {
			d = filepath.Join(dir, d)
		}
		candidate := filepath.Join(d, path)
		failure := checkExecutable(candidate)
		if failure == nil {
			return candidate, nil
		}
		if failure.Found && notExecutable == nil {
			notExecutable = failure
		}
	}
	if notExecutable != nil {
		return "", notExecutable
	}
	failure := &Failure{Kind: FailedExecutable, Path: path}
	failure.Message = fmt.Sprintf("executable %q is not found in PATH (%s)", path, pathVariable)
	if info, err := os.Stat(filepath.Join(dir, path)); err == nil && !info.IsDir() {
		failure.Message += fmt.Sprintf("; %s is there, to be run as ./%s", filepath.Join(dir, path), path)
	}
	return "", failure
}

// checkExecutable says what keeps the file at an absolute path from being run, nil
// when nothing that can be seen does.
func checkExecutable(path string) *Failure {
	failure := &Failure{Kind: FailedExecutable, Path: path, Found: true}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		failure.Message, failure.Found = describeMissing(path, err), false
	case info.IsDir():
		failure.Message = fmt.Sprintf("%s is a directory and cannot be executed; %s", path, describeDirectory(path))
	case !info.Mode().IsRegular():
		failure.Message = fmt.Sprintf("%s is no regular file (%s) and cannot be executed", path, info.Mode())
	case info.Mode().Perm()&0o111 == 0:
		failure.Message = fmt.Sprintf("%s is not executable (its mode is %s); chmod +x makes it so", path, info.Mode())
	default:
		return nil
	}
	return failure
}

// describeMissing says what is where path should be.
func describeMissing(path string, err error) string {
	if target, linkErr := os.Readlink(path); linkErr == nil {
		return fmt.Sprintf("%s is a symbolic link to %s, which cannot be followed: %v", path, target, errors.Unwrap(err))
	}
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
		return fmt.Sprintf("executable %s cannot be looked at: %v", path, err)
	}
	parent := filepath.Dir(path)
	for {
		info, err := os.Stat(parent)
		if err == nil && info.IsDir() {
			return fmt.Sprintf("executable %s does not exist; %s", path, describeDirectory(parent))
		}
		if err == nil {
			return fmt.Sprintf("executable %s does not exist: %s is no directory", path, parent)
		}
		parent = filepath.Dir(parent)
	}
}

// describeDirectory lists a directory's entries, as many as a sentence bears.
func describeDirectory(dir string) string {
	const most = 20
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Sprintf("%s cannot be read", dir)
	}
	defer f.Close()
	entries, err := f.ReadDir(1000)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Sprintf("%s cannot be read", dir)
	}
	var names []string
	for _, entry := range entries {
		name := entry.Name()
		if entry.IsDir() {
			name += "/"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	switch {
	case len(names) == 0:
		return dir + " is empty"
	case len(names) > most:
		return fmt.Sprintf("%s has %s and more", dir, strings.Join(names[:most], " "))
	default:
		return fmt.Sprintf("%s has %s", dir, strings.Join(names, " "))
	}
}

// explainExec says why the kernel would not run the file at path.
func explainExec(path string, id identity, err error) *Failure {
	failure := &Failure{Kind: FailedExecutable, Path: path, Found: true}
	switch {
	case errors.Is(err, unix.ENOENT):
		failure.Message = explainInterpreter(path)
	case errors.Is(err, unix.EACCES):
		failure.Message = fmt.Sprintf("%s cannot be executed by user %s: permission denied", path, id)
	case errors.Is(err, unix.ENOEXEC):
		failure.Message = explainFormat(path)
	case errors.Is(err, unix.ETXTBSY):
		failure.Message = fmt.Sprintf("%s cannot be executed while something has it open for writing", path)
	case errors.Is(err, unix.E2BIG):
		failure.Message = fmt.Sprintf("%s cannot be executed: its arguments and environment are too large together", path)
	default:
		return &Failure{Kind: FailedSystem, Message: fmt.Sprintf("start %s: %v", path, err)}
	}
	return failure
}

func (id identity) String() string {
	if id.name != "" {
		return id.name
	}
	return fmt.Sprint(id.uid)
}

// explainInterpreter is for a file that is there of which the kernel says that it is not.
func explainInterpreter(path string) string {
	if interpreter, err := scriptInterpreter(path); err == nil && interpreter != "" {
		return fmt.Sprintf("%s cannot be executed: its first line names the interpreter %s, which is not in the image", path, interpreter)
	}
	if loader := dynamicLoader(path); loader != "" {
		return fmt.Sprintf("%s cannot be executed: it needs the dynamic loader %s, which is not in the image; build it statically, or use an image with that C library", path, loader)
	}
	return fmt.Sprintf("%s cannot be executed: something that it needs to start is not in the image", path)
}

// scriptInterpreter gives what a file's first line names behind #!, "" for a file that is no script.
func scriptInterpreter(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	line, err := bufio.NewReader(io.LimitReader(f, 256)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return parseInterpreter(line), nil
}

func parseInterpreter(line string) string {
	rest, ok := strings.CutPrefix(line, "#!")
	if !ok {
		return ""
	}
	fields := strings.FieldsFunc(rest, func(r rune) bool { return r == ' ' || r == '\t' || r == '\n' })
	if len(fields) == 0 {
		return ""
	}
	if strings.HasSuffix(fields[0], "\r") {
		return strings.TrimSuffix(fields[0], "\r") + `\r (the file has Windows line ends)`
	}
	return fields[0]
}

// dynamicLoader gives what an ELF program names as its loader, "" for any other file.
func dynamicLoader(path string) string {
	program, err := elf.Open(path)
	if err != nil {
		return ""
	}
	defer program.Close()
	for _, segment := range program.Progs {
		if segment.Type != elf.PT_INTERP || segment.Filesz > 4096 {
			continue
		}
		name := make([]byte, segment.Filesz)
		if _, err := segment.ReadAt(name, 0); err != nil {
			return ""
		}
		return strings.TrimRight(string(name), "\x00")
	}
	return ""
}

func explainFormat(path string) string {
	if program, err := elf.Open(path); err == nil {
		defer program.Close()
		return fmt.Sprintf("%s cannot be executed: it is a program for %s, and this machine is %s", path, program.Machine, runtime.GOARCH)
	}
	return fmt.Sprintf("%s cannot be executed: it is neither a program for this machine nor a script that begins with #!", path)
}
