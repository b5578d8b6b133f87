package machine

import (
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// builtins are the commands that a shell runs itself. The first argument is the name.
var builtins map[string]func(s *shell, args []string) int

func init() {
	builtins = map[string]func(s *shell, args []string) int{
		":": succeed, "true": succeed, "false": func(*shell, []string) int { return 1 },
		".": source, "break": leaveLoops, "continue": leaveLoops, "return": returnFrom, "exit": exitShell,
		"cd": changeDirectory, "command": runCommand, "type": runCommand, "eval": eval, "exec": replace,
		"export": declaration, "readonly": declaration, "local": declaration, "unset": unset,
		"set": setOptions, "shift": shift, "read": read, "trap": trap, "wait": wait, "kill": kill,
		"umask": func(s *shell, _ []string) int { fmt.Fprintln(s.program.writer(1), "0022"); return 0 },
		"jobs":  jobs, "getopts": getopts,
		"echo": asBuiltin(echo), "printf": asBuiltin(printf), "pwd": asBuiltin(printDirectory),
		"test": asBuiltin(test), "[": asBuiltin(test),
	}
}

func succeed(*shell, []string) int { return 0 }

// asBuiltin runs a command in the shell's own program.
func asBuiltin(command func(*call) int) func(*shell, []string) int {
	return func(s *shell, args []string) int {
		return command(&call{program: s.program, args: args, env: s.environment()})
	}
}

func (s *shell) fail(status int, format string, args ...any) int {
	s.complain(format, args...)
	return status
}

func source(s *shell, args []string) int {
	if len(args) < 2 {
		return s.fail(2, ".: filename argument required")
	}
	contents, err := s.program.machine.files.ReadFile(s.program.path(args[1]))
	if err != nil {
		s.complain(".: can't open %s: %v", args[1], cause(err))
		panic(exit(2))
	}
	s.evaluate(string(contents))
	s.returning = false
	return s.status
}

func eval(s *shell, args []string) int {
	s.status = 0
	s.evaluate(strings.Join(args[1:], " "))
	return s.status
}

// number gives the numeric argument of a builtin, or what it is without one.
func (s *shell) number(args []string, without int) int {
	if len(args) < 2 {
		return without
	}
	n, err := strconv.Atoi(args[1])
	if err != nil || n < 0 {
		s.complain("%s: bad number: %s", args[0], args[1])
		panic(exit(2))
	}
	return n
}

func leaveLoops(s *shell, args []string) int {
	n := min(s.number(args, 1), s.loops)
	if args[0] == "break" {
		s.breaking = n
	} else {
		s.continuing = n
	}
	return 0
}

func returnFrom(s *shell, args []string) int {
	s.returning = true
	return s.number(args, s.status)
}

func exitShell(s *shell, args []string) int {
	panic(exit(s.number(args, s.status) & 0xff))
}

func changeDirectory(s *shell, args []string) int {
	target := s.value("HOME")
	if len(args) > 1 {
		target = args[1]
	}
	if target == "-" {
		target = s.value("OLDPWD")
		fmt.Fprintln(s.program.writer(1), target)
	}
	dir := path.Clean(s.program.path(target))
	info, err := s.program.machine.files.Stat(dir)
	if err != nil || target == "" {
		return s.fail(2, "cd: can't cd to %s", target)
	}
	if !info.IsDir() {
		return s.fail(2, "cd: %s is not a directory", target)
	}
	s.assign("OLDPWD", s.program.dir)
	s.assign("PWD", dir)
	s.program.dir = dir
	return 0
}

func runCommand(s *shell, args []string) int {
	if len(args) > 1 && (args[1] == "-v" || args[1] == "-V" || args[0] == "type") {
		name := args[len(args)-1]
		where := name
		_, isFunction := s.functions[name]
		_, isBuiltin := builtins[name]
		if !isFunction && !isBuiltin {
			found, err := s.program.lookPath(name, s.value("PATH"))
			if err != nil {
				return 127
			}
			where = found
		}
		fmt.Fprintln(s.program.writer(1), where)
		return 0
	}
	if len(args) < 2 {
		return 0
	}
	if builtin, ok := builtins[args[1]]; ok {
		return builtin(s, args[1:])
	}
	s.external(args[1:], nil)
	return s.status
}

func replace(s *shell, args []string) int {
	image, status := s.find(args[1])
	if status != 0 {
		panic(exit(status))
	}
	s.program.exec(image, args[1:], s.environment())
	return 0
}

func declaration(s *shell, args []string) int {
	if len(args) == 1 || args[1] == "-p" {
		for name, variable := range (shellVariables{s}).Each {
			if variable.Exported {
				io.WriteString(s.program.writer(1), args[0]+" ")
				printVariable(s.program.writer(1), name, variable.Str)
			}
		}
		return 0
	}
	s.declareWords(args[0], args[1:])
	return 0
}

func unset(s *shell, args []string) int {
	for _, name := range args[1:] {
		if strings.HasPrefix(name, "-") {
			continue
		}
		if s.variables[name].ReadOnly {
			return s.fail(1, "unset: %s: is read only", name)
		}
		delete(s.variables, name)
		if slices.Contains(args, "-f") {
			delete(s.functions, name)
		}
	}
	return 0
}

func setOptions(s *shell, args []string) int {
	if len(args) == 1 {
		for name, variable := range (shellVariables{s}).Each {
			printVariable(s.program.writer(1), name, variable.Str)
		}
		return 0
	}
	rest, _, _, err := s.parseOptions(args[1:])
	if err != nil {
		s.complain("set: %v", err)
		panic(exit(2))
	}
	if len(rest) > 0 || slices.Contains(args, "--") {
		s.params = rest
	}
	return 0
}

func shift(s *shell, args []string) int {
	n := s.number(args, 1)
	if n > len(s.params) {
		return s.fail(2, "shift: can't shift that many")
	}
	s.params = s.params[n:]
	return 0
}

func read(s *shell, args []string) int {
	raw := false
	names := args[1:]
	for len(names) > 0 && strings.HasPrefix(names[0], "-") {
		switch names[0] {
		case "-r":
			raw = true
		case "-p":
			if len(names) < 2 {
				return s.fail(2, "read: -p: requires an argument")
			}
			io.WriteString(s.program.writer(2), names[1])
			names = names[1:]
		default:
			return s.fail(2, "read: illegal option %s", names[0])
		}
		names = names[1:]
	}
	line, err := s.readLine(0)
	for !raw && err == nil && strings.HasSuffix(line, "\\\n") {
		var more string
		more, err = s.readLine(0)
		line = strings.TrimSuffix(line, "\\\n") + more
	}
	if err == errInterrupted {
		return 130
	}
	line = strings.TrimSuffix(line, "\n")
	if len(names) == 0 {
		names = []string{"REPLY"}
	}
	values := expand.ReadFields(s.expansion(), line, len(names), raw)
	for i, name := range names {
		if !syntax.ValidName(name) {
			return s.fail(2, "read: bad variable name: %s", name)
		}
		value := ""
		if i < len(values) {
			value = values[i]
		}
		s.assign(name, value)
	}
	return truth(err == nil)
}

func getopts(s *shell, args []string) int {
	if len(args) < 3 {
		return s.fail(2, "getopts: usage: getopts optstring name [arg ...]")
	}
	words := s.params
	if len(args) > 3 {
		words = args[3:]
	}
	index, _ := strconv.Atoi(s.value("OPTIND"))
	if index < 1 || index > len(words) || len(words[index-1]) < 2 || words[index-1][0] != '-' || words[index-1] == "--" {
		s.assign(args[2], "?")
		return 1
	}
	letter, value := words[index-1][1:2], words[index-1][2:]
	at := strings.Index(args[1], letter)
	takesValue := at >= 0 && strings.HasPrefix(args[1][at+1:], ":")
	switch {
	case at < 0:
		s.complain("illegal option -- %s", letter)
		letter = "?"
	case takesValue && value == "" && index < len(words):
		index++
		value = words[index-1]
	case !takesValue && value != "":
		words[index-1] = "-" + value
		index--
		value = ""
	}
	s.assign("OPTIND", strconv.Itoa(index+1))
	s.assign("OPTARG", value)
	s.assign(args[2], letter)
	return 0
}

// pause waits, until the context ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
