package machine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"syscall"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

func (s *shell) stmts(stmts []*syntax.Stmt) {
	for _, stmt := range stmts {
		s.stmt(stmt)
		if s.leaving() {
			return
		}
	}
}

// leaving tells that what is around is to end early.
func (s *shell) leaving() bool { return s.breaking > 0 || s.continuing > 0 || s.returning }

func (s *shell) stmt(stmt *syntax.Stmt) {
	s.checkSignals()
	if s.options.noExec {
		return
	}
	if stmt.Background {
		s.background(stmt)
		return
	}
	if stmt.Negated {
		s.untested++
	}
	s.redirected(stmt)
	if stmt.Negated {
		s.untested--
		s.status = truth(s.status != 0)
		return
	}
	if s.status != 0 && s.options.exitOnError && s.untested == 0 && failable(stmt.Cmd) && !s.leaving() {
		panic(exit(s.status))
	}
}

// failable tells the commands whose own failure ends a shell that was told -e;
// in the others the failing part has done so.
func failable(command syntax.Command) bool {
	switch command := command.(type) {
	case *syntax.CallExpr, *syntax.Subshell, *syntax.DeclClause, *syntax.TestClause, *syntax.ArithmCmd:
		return true
	case *syntax.BinaryCmd:
		return command.Op == syntax.Pipe
	}
	return false
}

// truth gives the status that stands for a truth value.
func truth(ok bool) int {
	if ok {
		return 0
	}
	return 1
}

func (s *shell) background(stmt *syntax.Stmt) {
	foreground := *stmt
	foreground.Background = false
	child, err := s.fork(func(p *program) {
		p.ignore("INT", true)
		p.ignore("QUIT", true)
		if !s.interactive {
			p.set(0, newDescriptor(nullStream{}))
		}
	}, func(child *shell) { child.stmt(&foreground) })
	if err != nil {
		s.complain("%v", err)
		panic(exit(2))
	}
	s.jobs = append(s.jobs, child)
	s.job = child.pid
	s.status = 0
}

// redirected runs a statement's command with its redirections.
func (s *shell) redirected(stmt *syntax.Stmt) {
	saved := map[int]*descriptor{}
	restore := func() {
		for number, held := range saved {
			s.program.set(number, held)
		}
	}
	defer func() { restore() }()
	for _, redirection := range stmt.Redirs {
		if err := s.redirect(redirection, saved); err != nil {
			s.complain("%v", err)
			s.status = 1
			return
		}
	}
	if stmt.Cmd == nil {
		s.status = 0
		return
	}
	if call, ok := stmt.Cmd.(*syntax.CallExpr); ok && len(call.Args) == 1 && call.Args[0].Lit() == "exec" {
		// Its redirections stay.
		restore = func() {
			for _, held := range saved {
				if held != nil {
					held.release()
				}
			}
		}
		s.status = 0
		return
	}
	s.command(stmt.Cmd)
}

// redirect does a redirection, and saves what was in its place.
func (s *shell) redirect(redirection *syntax.Redirect, saved map[int]*descriptor) error {
	number := 1
	switch redirection.Op {
	case syntax.RdrIn, syntax.RdrInOut, syntax.DplIn, syntax.Hdoc, syntax.DashHdoc:
		number = 0
	}
	if redirection.N != nil {
		n, err := strconv.Atoi(redirection.N.Value)
		if err != nil {
			return fmt.Errorf("%s: bad file descriptor", redirection.N.Value)
		}
		number = n
	}
	opened, err := s.openRedirection(redirection)
	if err != nil {
		return err
	}
	if _, ok := saved[number]; !ok {
		saved[number] = nil
		if held, ok := s.program.descriptors[number]; ok {
			saved[number] = held.hold()
		}
	}
	s.program.set(number, opened)
	return nil
}

// openRedirection gives what a redirection leads to, nil when it closes.
func (s *shell) openRedirection(redirection *syntax.Redirect) (*descriptor, error) {
	if redirection.Op == syntax.Hdoc || redirection.Op == syntax.DashHdoc {
		return s.hereDocument(redirection)
	}
	word, err := expand.Literal(s.expansion(), redirection.Word)
	if err != nil {
		return nil, err
	}
	var flags openFlags
	switch redirection.Op {
	case syntax.RdrIn:
	case syntax.RdrOut, syntax.RdrClob:
		flags = writing | creating | truncating
	case syntax.AppOut:
		flags = writing | creating | appending
	case syntax.RdrInOut:
		flags = writing | creating
	case syntax.DplIn, syntax.DplOut:
		if word == "-" {
			return nil, nil
		}
		number, err := strconv.Atoi(word)
		held, ok := s.program.descriptors[number]
		if err != nil || !ok {
			return nil, fmt.Errorf("%s: bad file descriptor", word)
		}
		return held.hold(), nil
	default:
		return nil, fmt.Errorf("redirection %s is not supported", redirection.Op)
	}
	opened, err := s.program.open(word, flags)
	if err != nil {
		return nil, fmt.Errorf("can't open %s: %v", word, cause(err))
	}
	return opened, nil
}

func (s *shell) hereDocument(redirection *syntax.Redirect) (*descriptor, error) {
	text := ""
	if redirection.Hdoc != nil {
		var err error
		if text, err = expand.Document(s.expansion(), redirection.Hdoc); err != nil {
			return nil, err
		}
	}
	if redirection.Op == syntax.DashHdoc {
		lines := strings.SplitAfter(text, "\n")
		for i := range lines {
			lines[i] = strings.TrimLeft(lines[i], "\t")
		}
		text = strings.Join(lines, "")
	}
	document := newPipe()
	document.buffer = []byte(text)
	document.noWriter = true
	return newDescriptor(readEnd{document}), nil
}

// cause gives the error below the operation and path that a *fs.PathError repeats.
func cause(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	return err
}

func (s *shell) command(command syntax.Command) {
	switch command := command.(type) {
	case *syntax.CallExpr:
		s.call(command)
	case *syntax.DeclClause:
		s.declare(command)
	case *syntax.Block:
		s.stmts(command.Stmts)
	case *syntax.Subshell:
		s.subshell(func(child *shell) { child.stmts(command.Stmts) })
	case *syntax.BinaryCmd:
		s.binary(command)
	case *syntax.IfClause:
		s.ifClause(command)
	case *syntax.WhileClause:
		s.while(command)
	case *syntax.ForClause:
		s.forClause(command)
	case *syntax.CaseClause:
		s.caseClause(command)
	case *syntax.FuncDecl:
		s.functions[command.Name.Value] = command.Body
		s.status = 0
	case *syntax.TimeClause:
		if command.Stmt != nil {
			s.stmt(command.Stmt)
		}
	default:
		s.complain("%T is not supported", command)
		panic(exit(2))
	}
}

// subshell runs in a copy of the shell and waits for it.
func (s *shell) subshell(run func(*shell)) {
	child, err := s.fork(nil, run)
	if err != nil {
		s.complain("%v", err)
		panic(exit(2))
	}
	s.status = s.program.wait(child).Code
}

func (s *shell) binary(command *syntax.BinaryCmd) {
	switch command.Op {
	case syntax.Pipe:
		s.pipeline(command)
	case syntax.AndStmt, syntax.OrStmt:
		s.untested++
		s.stmt(command.X)
		s.untested--
		if !s.leaving() && (s.status == 0) == (command.Op == syntax.AndStmt) {
			s.stmt(command.Y)
		}
	default:
		s.complain("%s is not supported", command.Op)
		panic(exit(2))
	}
}

// pipeline runs all commands of a pipeline at once, each in a copy of the shell.
func (s *shell) pipeline(command *syntax.BinaryCmd) {
	parts := []*syntax.Stmt{command.Y}
	for left := command.X; ; {
		binary, ok := left.Cmd.(*syntax.BinaryCmd)
		if !ok || binary.Op != syntax.Pipe || len(left.Redirs) > 0 {
			parts = append(parts, left)
			break
		}
		parts = append(parts, binary.Y)
		left = binary.X
	}
	var children []*program
	var stdin *descriptor
	for i := len(parts) - 1; i >= 0; i-- {
		part, input := parts[i], stdin
		var output *descriptor
		if i > 0 {
			between := newPipe()
			stdin, output = newDescriptor(readEnd{between}), newDescriptor(writeEnd{between})
		}
		child, err := s.fork(func(p *program) {
			if input != nil {
				p.set(0, input)
			}
			if output != nil {
				p.set(1, output)
			}
		}, func(child *shell) { child.stmt(part) })
		if err != nil {
			s.complain("%v", err)
			panic(exit(2))
		}
		children = append(children, child)
	}
	for _, child := range children {
		s.status = s.program.wait(child).Code
	}
}

// condition runs statements whose failure is no error, and tells whether they succeeded.
func (s *shell) condition(stmts []*syntax.Stmt) bool {
	s.untested++
	defer func() { s.untested-- }()
	s.stmts(stmts)
	return s.status == 0
}

func (s *shell) ifClause(clause *syntax.IfClause) {
	for ; clause != nil; clause = clause.Else {
		if len(clause.Cond) == 0 || s.condition(clause.Cond) {
			if !s.leaving() {
				s.stmts(clause.Then)
			}
			return
		}
		if s.leaving() {
			return
		}
	}
	s.status = 0
}

func (s *shell) while(clause *syntax.WhileClause) {
	status := 0
	s.loops++
	defer func() { s.loops-- }()
	for s.condition(clause.Cond) != clause.Until && !s.leaving() {
		s.stmts(clause.Do)
		status = s.status
		if s.leaveLoop() {
			break
		}
	}
	s.leaveLoop()
	if !s.returning {
		s.status = status
	}
}

// leaveLoop tells, at the end of a loop's round, whether there is to be no other.
func (s *shell) leaveLoop() bool {
	if s.breaking > 0 {
		s.breaking--
		return true
	}
	if s.continuing > 0 {
		s.continuing--
		return s.continuing > 0
	}
	return s.returning
}

func (s *shell) forClause(clause *syntax.ForClause) {
	iteration, ok := clause.Loop.(*syntax.WordIter)
	if !ok {
		s.complain("this kind of for is not supported")
		panic(exit(2))
	}
	words := s.params
	if iteration.InPos.IsValid() {
		words = s.fields(iteration.Items)
	}
	s.status = 0
	s.loops++
	defer func() { s.loops-- }()
	for _, word := range words {
		s.assign(iteration.Name.Value, word)
		s.stmts(clause.Do)
		if s.leaveLoop() {
			return
		}
	}
}

func (s *shell) caseClause(clause *syntax.CaseClause) {
	word := s.literal(clause.Word)
	s.status = 0
	for _, item := range clause.Items {
		for _, pattern := range item.Patterns {
			matches, err := s.matches(pattern, word)
			if err != nil {
				s.complain("%v", err)
			}
			if matches {
				s.stmts(item.Stmts)
				return
			}
		}
	}
}

// call runs a simple command.
func (s *shell) call(command *syntax.CallExpr) {
	s.substituted = false
	args := s.fields(command.Args)
	if len(args) == 0 {
		for _, assignment := range command.Assigns {
			s.assign(assignment.Name.Value, s.assigned(assignment))
		}
		if !s.substituted {
			s.status = 0
		}
		return
	}
	var env []string
	for _, assignment := range command.Assigns {
		env = append(env, assignment.Name.Value+"="+s.assigned(assignment))
	}
	if s.options.trace {
		fmt.Fprintf(s.program.writer(2), "+ %s\n", strings.Join(args, " "))
	}
	s.invoke(args, env)
}

// invoke runs a function, a builtin or a program, with variables of its own.
func (s *shell) invoke(args, env []string) {
	function, isFunction := s.functions[args[0]]
	builtin, isBuiltin := builtins[args[0]]
	if !isFunction && !isBuiltin {
		s.external(args, env)
		return
	}
	before := map[string]expand.Variable{}
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		before[name] = s.variables[name]
		s.assign(name, value)
		s.export(name)
	}
	if isFunction {
		s.function(function, args[1:])
	} else {
		s.status = builtin(s, args)
	}
	for name, variable := range before {
		s.variables[name] = variable
	}
}

func (s *shell) function(body *syntax.Stmt, args []string) {
	params, loops := s.params, s.loops
	s.params, s.loops = args, 0
	s.locals = append(s.locals, map[string]expand.Variable{})
	s.stmt(body)
	locals := s.locals[len(s.locals)-1]
	s.locals = s.locals[:len(s.locals)-1]
	for name, variable := range locals {
		s.variables[name] = variable
	}
	s.params, s.loops, s.returning = params, loops, false
}

// external runs a program and waits for it.
func (s *shell) external(args, env []string) {
	image, status := s.find(args[0])
	if status != 0 {
		s.status = status
		return
	}
	child, err := s.program.spawn(image, args, append(s.environment(), env...))
	if err != nil {
		s.complain("%v", err)
		s.status = 2
		return
	}
	ended := s.program.wait(child)
	s.status = ended.Code
	if ended.Signal == "INT" && s.interactive {
		io.WriteString(s.program.writer(2), "\n")
	}
}

// find gives the program of a name, or the status that says that there is none.
func (s *shell) find(name string) (executable, int) {
	file, err := s.program.lookPath(name, s.value("PATH"))
	var image executable
	if err == nil {
		image, err = s.program.machine.executable(file)
	}
	var execErr *ExecError
	switch {
	case err == nil:
		return image, 0
	case errors.As(err, &execErr) && execErr.Err == syscall.ENOEXEC && s.isText(file):
		return executable{command: runShell, interpreter: []string{"/bin/sh", file}}, 0
	case errors.As(err, &execErr):
		s.complain("%s: %v", name, execErr.Err)
		return executable{}, 126
	}
	s.complain("%s: not found", name)
	return executable{}, 127
}

// isText tells whether a file without an interpreter may be a shell's.
func (s *shell) isText(file string) bool {
	contents, err := s.program.machine.files.ReadFile(file)
	return err == nil && !bytes.ContainsRune(contents[:min(len(contents), 512)], 0)
}
