package machine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
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
	case *syntax.CallExpr, *syntax.Subshell:
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

func (s *shell) command(command syntax.Command) {
	switch command := command.(type) {
	case *syntax.CallExpr:
		s.call(command)
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
		return executable{runShell, []string{"/bin/sh"}, file}, 0
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
