package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/pattern"
	"mvdan.cc/sh/v3/syntax"
)

// expansion gives the settings that words are expanded with.
func (s *shell) expansion() *expand.Config {
	config := &expand.Config{
		Env:      shellVariables{s},
		CmdSubst: s.substitute,
		NoUnset:  s.options.unsetFails,
	}
	if !s.options.noGlob {
		config.ReadDir2 = func(name string) ([]fs.DirEntry, error) {
			return s.program.machine.files.ReadDir(s.program.path(name))
		}
	}
	return config
}

// fields expands words to fields; a failure ends a shell that is not interactive.
func (s *shell) fields(words []*syntax.Word) []string {
	fields, err := expand.Fields(s.expansion(), words...)
	s.expanded(err)
	return fields
}

func (s *shell) literal(word *syntax.Word) string {
	if word == nil {
		return ""
	}
	text, err := expand.Literal(s.expansion(), word)
	s.expanded(err)
	return text
}

func (s *shell) expanded(err error) {
	if err == nil {
		return
	}
	s.complain("%v", err)
	panic(exit(2))
}

func (s *shell) assigned(assignment *syntax.Assign) string {
	if assignment.Append || assignment.Array != nil || assignment.Index != nil {
		s.complain("%s: only NAME=VALUE is supported", assignment.Name.Value)
		panic(exit(2))
	}
	return s.literal(assignment.Value)
}

func (s *shell) matches(word *syntax.Word, text string) (bool, error) {
	glob, err := expand.Pattern(s.expansion(), word)
	if err != nil {
		return false, err
	}
	expression, err := pattern.Regexp(glob, pattern.EntireString)
	if err != nil {
		return glob == text, nil
	}
	return regexp.MatchString(expression, text)
}

// substitute writes the output of a command substitution.
func (s *shell) substitute(w io.Writer, substitution *syntax.CmdSubst) error {
	output := newPipe()
	child, err := s.fork(func(p *program) { p.set(1, newDescriptor(writeEnd{output})) },
		func(child *shell) { child.stmts(substitution.Stmts) })
	if err != nil {
		return err
	}
	_, err = io.Copy(w, pipeReader{s.program.ctx, output})
	output.closeReader()
	s.status, s.substituted = s.program.wait(child).Code, true
	return err
}

type pipeReader struct {
	ctx  context.Context
	pipe *pipe
}

func (r pipeReader) Read(p []byte) (int, error) { return r.pipe.read(r.ctx, p) }

// shellVariables gives package expand the variables of a shell.
type shellVariables struct{ shell *shell }

func (v shellVariables) Get(name string) expand.Variable {
	s := v.shell
	text := func(value string) expand.Variable {
		return expand.Variable{Set: true, Kind: expand.String, Str: value}
	}
	switch name {
	case "#":
		return text(strconv.Itoa(len(s.params)))
	case "@", "*":
		return expand.Variable{Set: true, Kind: expand.Indexed, List: append([]string{}, s.params...)}
	case "?":
		return text(strconv.Itoa(s.status))
	case "$":
		return text(strconv.Itoa(s.program.root()))
	case "!":
		if s.job == 0 {
			return expand.Variable{}
		}
		return text(strconv.Itoa(s.job))
	case "-":
		return text(s.optionFlags())
	case "0":
		return text(s.name)
	}
	if n, err := strconv.Atoi(name); err == nil {
		if n < 1 || n > len(s.params) {
			return expand.Variable{}
		}
		return text(s.params[n-1])
	}
	if user, ok := strings.CutPrefix(name, "HOME "); ok {
		if found, err := s.program.machine.files.LookupUser(user); err == nil {
			return text(found.Home)
		}
		return expand.Variable{}
	}
	return s.variables[name]
}

func (v shellVariables) Each(yield func(string, expand.Variable) bool) {
	for _, name := range slices.Sorted(maps.Keys(v.shell.variables)) {
		if variable := v.shell.variables[name]; variable.IsSet() && !yield(name, variable) {
			return
		}
	}
}

func (v shellVariables) Set(name string, variable expand.Variable) error {
	if v.shell.variables[name].ReadOnly {
		return errors.New(name + ": is read only")
	}
	v.shell.assign(name, variable.String())
	return nil
}

func (s *shell) optionFlags() string {
	flags := ""
	for _, option := range []struct {
		on     bool
		letter string
	}{
		{s.options.exitOnError, "e"}, {s.options.noGlob, "f"}, {s.interactive, "i"},
		{s.options.unsetFails, "u"}, {s.options.trace, "x"}, {s.options.exportAll, "a"},
	} {
		if option.on {
			flags += option.letter
		}
	}
	return flags
}

// assign sets a variable, and keeps whether it is exported.
func (s *shell) assign(name, value string) {
	variable := s.variables[name]
	if variable.ReadOnly {
		s.complain("%s: is read only", name)
		panic(exit(2))
	}
	variable.Set, variable.Kind, variable.Str = true, expand.String, value
	variable.Exported = variable.Exported || s.options.exportAll
	s.variables[name] = variable
	s.checkMemory()
}

// checkMemory has the machine kill a shell whose variables take more than there is.
func (s *shell) checkMemory() {
	limit := s.program.machine.memory
	if limit == 0 {
		return
	}
	var total uint64
	for name, variable := range s.variables {
		total += uint64(len(name) + len(variable.Str))
	}
	if total > limit {
		s.program.machine.outOfMemory(s.program)
		panic(exit(1))
	}
}

func (s *shell) export(name string) {
	variable := s.variables[name]
	variable.Exported = true
	if variable.Kind == expand.Unknown {
		variable.Kind = expand.String
	}
	s.variables[name] = variable
}

func (s *shell) value(name string) string { return s.variables[name].Str }

// environment gives what programs get of the variables.
func (s *shell) environment() []string {
	var env []string
	for name, variable := range (shellVariables{s}).Each {
		if variable.Exported {
			env = append(env, name+"="+variable.Str)
		}
	}
	return env
}

// declareWords declares NAME or NAME=VALUE.
func (s *shell) declareWords(variant string, words []string) {
	for _, word := range words {
		if word == "-p" || word == "--" {
			continue
		}
		name, value, hasValue := strings.Cut(word, "=")
		if !syntax.ValidName(name) {
			s.complain("%s: bad variable name", name)
			panic(exit(2))
		}
		if variant == "local" {
			s.local(name)
		}
		if hasValue {
			s.assign(name, value)
		}
		switch variant {
		case "export":
			s.export(name)
		case "readonly":
			variable := s.variables[name]
			variable.ReadOnly = true
			s.variables[name] = variable
		}
	}
}

// local has the function around give a variable back as it was.
func (s *shell) local(name string) {
	if len(s.locals) == 0 {
		s.complain("local: not in a function")
		panic(exit(2))
	}
	saved := s.locals[len(s.locals)-1]
	if _, ok := saved[name]; !ok {
		saved[name] = s.variables[name]
	}
}

// root gives the process id that $$ is: of the shell that subshells are copies of.
func (p *program) root() int {
	if p.shellPID != 0 {
		return p.shellPID
	}
	return p.pid
}

// printVariable is how set without arguments shows a variable.
func printVariable(w io.Writer, name, value string) {
	fmt.Fprintf(w, "%s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
}
