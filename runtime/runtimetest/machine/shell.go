package machine

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// shell runs shell programs: POSIX's language, read by package syntax, with
// local besides.
type shell struct {
	program     *program
	name        string // $0
	params      []string
	variables   map[string]expand.Variable
	functions   map[string]*syntax.Stmt
	options     shellOptions
	status      int  // $?
	substituted bool // a command substitution set it
	jobs        []*program
	job         int // $!
	interactive bool

	// untested counts the conditions around, in which a failure is no error.
	untested int
	locals   []map[string]expand.Variable // what the functions around had before
	loops    int
	// leaving says what ends early: so many loops, or the function.
	breaking, continuing int
	returning            bool

	traps    map[string]string
	trapping bool
	signals  chan string // that came and are trapped
}

type shellOptions struct {
	exitOnError bool // -e
	unsetFails  bool // -u
	noGlob      bool // -f
	trace       bool // -x
	noExec      bool // -n
	exportAll   bool // -a
}

// runShell is the command sh: sh [-euxfna] [-c script [name]] [file] [args].
func runShell(c *call) int {
	s := newShell(c.program, c.env)
	s.name = c.args[0]
	args, script, hasScript, err := s.parseOptions(c.args[1:])
	if err != nil {
		return c.fail(2, "%v", err)
	}
	if hasScript {
		if len(args) > 0 {
			s.name, args = args[0], args[1:]
		}
		s.params = args
		return s.main(strings.NewReader(script))
	}
	if len(args) > 0 {
		s.name, s.params = args[0], args[1:]
		contents, err := c.program.machine.files.ReadFile(c.program.path(args[0]))
		if err != nil {
			return c.fail(127, "%s: %v", args[0], cause(err))
		}
		return s.main(strings.NewReader(string(contents)))
	}
	return s.converse()
}

func newShell(p *program, env []string) *shell {
	s := &shell{
		program:   p,
		variables: map[string]expand.Variable{},
		functions: map[string]*syntax.Stmt{},
		traps:     map[string]string{},
		signals:   make(chan string, 16),
	}
	for _, variable := range env {
		if name, value, ok := strings.Cut(variable, "="); ok && syntax.ValidName(name) {
			s.variables[name] = expand.Variable{Set: true, Exported: true, Kind: expand.String, Str: value}
		}
	}
	s.assign("PWD", p.dir)
	s.assign("PPID", fmt.Sprint(p.parent))
	s.assign("OPTIND", "1")
	p.onSignal(s.take)
	return s
}

// parseOptions reads the options that come before a script.
func (s *shell) parseOptions(args []string) (rest []string, script string, hasScript bool, err error) {
	for len(args) > 0 && len(args[0]) > 1 && (args[0][0] == '-' || args[0][0] == '+') {
		option := args[0]
		args = args[1:]
		if option == "--" {
			break
		}
		for _, letter := range option[1:] {
			switch letter {
			case 'c':
				hasScript = true
			case 'i':
				s.interactive = true
			case 'l', 's':
			case 'o':
				if len(args) == 0 {
					return nil, "", false, errors.New("-o: requires an argument")
				}
				err = s.setNamed(args[0], option[0] == '-')
				args = args[1:]
			default:
				err = s.set(letter, option[0] == '-')
			}
			if err != nil {
				return nil, "", false, err
			}
		}
	}
	if hasScript {
		if len(args) == 0 {
			return nil, "", false, errors.New("-c: requires an argument")
		}
		script, args = args[0], args[1:]
	}
	return args, script, hasScript, nil
}

func (s *shell) set(letter rune, on bool) error {
	switch letter {
	case 'e':
		s.options.exitOnError = on
	case 'u':
		s.options.unsetFails = on
	case 'f':
		s.options.noGlob = on
	case 'x':
		s.options.trace = on
	case 'n':
		s.options.noExec = on
	case 'a':
		s.options.exportAll = on
	default:
		return fmt.Errorf("illegal option -%c", letter)
	}
	return nil
}

var optionLetters = map[string]rune{
	"errexit": 'e', "nounset": 'u', "noglob": 'f', "xtrace": 'x', "noexec": 'n', "allexport": 'a',
}

func (s *shell) setNamed(name string, on bool) error {
	if name == "pipefail" {
		return errors.New("illegal option pipefail")
	}
	letter, ok := optionLetters[name]
	if !ok {
		return fmt.Errorf("illegal option %s", name)
	}
	return s.set(letter, on)
}

// main runs a whole script, and gives its status.
func (s *shell) main(script io.Reader) int {
	return s.untilExit(func() {
		for stmt, err := range newParser().StmtsSeq(script) {
			if err != nil {
				s.complain("%v", err)
				s.status = 2
				return
			}
			s.stmt(stmt)
		}
	})
}

func newParser() *syntax.Parser { return syntax.NewParser(syntax.Variant(syntax.LangPOSIX)) }

// untilExit runs until the shell exits, runs its EXIT trap and gives its status.
func (s *shell) untilExit(run func()) (status int) {
	s.protect(run)
	s.protect(s.checkSignals)
	if action, ok := s.traps["EXIT"]; ok && s.program.ctx.Err() == nil {
		delete(s.traps, "EXIT")
		status := s.status
		s.protect(func() {
			s.evaluate(action)
			s.status = status
		})
	}
	return s.status
}

// protect runs until an exit, which sets the status.
func (s *shell) protect(run func()) {
	defer func() {
		switch thrown := recover().(type) {
		case nil:
		case exit:
			s.status = int(thrown)
		default:
			panic(thrown)
		}
	}()
	run()
}

// evaluate runs the text of a script in this shell.
func (s *shell) evaluate(script string) {
	file, err := newParser().Parse(strings.NewReader(script), "")
	if err != nil {
		s.complain("%v", err)
		s.status = 2
		return
	}
	s.stmts(file.Stmts)
}

func (s *shell) complain(format string, args ...any) {
	fmt.Fprintf(s.program.writer(2), "%s: %s\n", s.name, fmt.Sprintf(format, args...))
}

// fork makes a shell that is a copy of this one, in a program of its own, and
// runs it. prepare sets its program up before.
func (s *shell) fork(prepare func(*program), run func(*shell)) (*program, error) {
	child, err := s.program.newProgram()
	if err != nil {
		return nil, err
	}
	if prepare != nil {
		prepare(child)
	}
	copied := &shell{
		program: child, name: s.name, params: s.params, status: s.status, job: s.job,
		variables: maps.Clone(s.variables), functions: maps.Clone(s.functions), options: s.options,
		untested: s.untested, loops: s.loops, traps: map[string]string{}, signals: make(chan string, 16),
		locals: slices.Clone(s.locals),
	}
	for signal, action := range s.traps {
		if action == "" {
			copied.traps[signal] = ""
		}
	}
	child.shellPID = s.program.root()
	child.onSignal(copied.take)
	child.start(func() int { return copied.untilExit(func() { run(copied) }) })
	return child, nil
}

// converse reads commands from stdin and runs each before it reads on. On a
// terminal it prompts.
func (s *shell) converse() int {
	interactive := s.interactive || s.isTerminal(0)
	s.program.mu.Lock()
	s.interactive = interactive
	s.program.mu.Unlock()
	return s.untilExit(func() {
		var text strings.Builder
		for {
			s.prompt(text.Len() > 0)
			line, err := s.readLine(0)
			text.WriteString(line)
			if err == errInterrupted {
				s.checkSignals()
				fmt.Fprintln(s.program.writer(2))
				text.Reset()
				continue
			}
			if err == nil && strings.HasSuffix(line, "\\\n") {
				continue
			}
			file, parseErr := newParser().Parse(strings.NewReader(text.String()), "")
			if parseErr != nil && syntax.IsIncomplete(parseErr) && err == nil {
				continue
			}
			text.Reset()
			switch {
			case parseErr != nil:
				s.complain("%v", parseErr)
				s.status = 2
				if !s.interactive {
					return
				}
			case s.interactive:
				s.stmts(file.Stmts)
				s.breaking, s.continuing, s.returning = 0, 0, false
			default:
				s.stmts(file.Stmts)
			}
			if err != nil {
				return
			}
		}
	})
}

func (s *shell) prompt(more bool) {
	if !s.interactive {
		return
	}
	prompt := s.value("PS1")
	if prompt == "" {
		prompt = s.value("PWD") + " # "
	}
	if more {
		prompt = "> "
	}
	io.WriteString(s.program.writer(2), prompt)
}

func (s *shell) isTerminal(number int) bool {
	held, ok := s.program.descriptors[number]
	if !ok {
		return false
	}
	_, ok = held.stream.(*terminal)
	return ok
}
