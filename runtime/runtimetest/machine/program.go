package machine

import (
	"context"
	"errors"
	"io"
	"maps"
	"sync"
	"syscall"
)

// program is what a kernel calls a process: a function that runs with its own
// descriptors, environment, directory and signals.
type program struct {
	machine *Machine
	session *Session
	pid     int
	parent  int

	args        []string
	env         []string
	dir         string
	user        User
	shellPID    int                 // of the shell that a subshell is a copy of
	descriptors map[int]*descriptor // used by the program's goroutine alone

	ctx    context.Context // ends, by *killed, when a signal kills the program
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	ignored map[string]bool
	handle  func(signal string) bool // takes a signal, or leaves it to kill

	done   chan struct{}
	status Status // once done is closed
}

// Status says how a program ended.
type Status struct {
	Code   int
	Signal string // what killed it, "" when it exited
	// OutOfMemory tells that a program of the machine was killed for memory meanwhile.
	OutOfMemory bool
}

// exit ends the program that panics with it.
type exit int

// newProgram makes the child of a program, with all that children inherit.
func (p *program) newProgram() (*program, error) {
	child := &program{
		machine: p.machine, session: p.session, parent: p.pid,
		args: p.args, env: p.env, dir: p.dir, user: p.user,
		descriptors: make(map[int]*descriptor, len(p.descriptors)),
		done:        make(chan struct{}),
	}
	p.mu.Lock()
	child.ignored = maps.Clone(p.ignored)
	p.mu.Unlock()
	if err := p.machine.admit(child); err != nil {
		return nil, err
	}
	for number, held := range p.descriptors {
		child.descriptors[number] = held.hold()
	}
	return child, nil
}

// start runs main as the program.
func (p *program) start(main func() int) {
	go func() {
		code := p.run(main)
		for _, held := range p.descriptors {
			held.release()
		}
		p.status = Status{Code: code}
		var by *killed
		if errors.As(context.Cause(p.ctx), &by) {
			p.status = Status{Code: 128 + signalNumbers[by.signal], Signal: by.signal}
		}
		p.cancel(nil)
		p.machine.dismiss(p)
		close(p.done)
	}()
}

func (p *program) run(main func() int) (code int) {
	defer func() {
		if thrown := recover(); thrown != nil {
			status, ok := thrown.(exit)
			if !ok {
				panic(thrown)
			}
			code = int(status)
		}
	}()
	return main()
}

// exec makes the program another one, which it never comes back from.
func (p *program) exec(image executable, args, env []string) {
	p.mu.Lock()
	p.handle = nil
	p.mu.Unlock()
	p.args, p.env = image.arguments(args), env
	panic(exit(image.command(&call{program: p, args: p.args, env: env})))
}

// spawn starts a command as a child.
func (p *program) spawn(image executable, args, env []string) (*program, error) {
	child, err := p.newProgram()
	if err != nil {
		return nil, err
	}
	child.args, child.env = image.arguments(args), env
	child.start(func() int { return image.command(&call{program: child, args: child.args, env: env}) })
	return child, nil
}

// wait waits for a child to end, or for the program's own death.
func (p *program) wait(child *program) Status {
	select {
	case <-child.done:
		return child.status
	case <-p.ctx.Done():
		panic(exit(1))
	}
}

// deliver gives the program a signal.
func (p *program) deliver(signal string) {
	p.mu.Lock()
	ignored, handle := p.ignored[signal], p.handle
	p.mu.Unlock()
	if signal != "KILL" {
		if ignored || handle != nil && handle(signal) || harmless[signal] {
			return
		}
	}
	p.cancel(&killed{signal})
}

func (p *program) ignore(signal string, ignored bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ignored == nil {
		p.ignored = map[string]bool{}
	}
	p.ignored[signal] = ignored
}

func (p *program) onSignal(handle func(signal string) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handle = handle
}

// set puts a descriptor in the place of a number's; nil closes it.
func (p *program) set(number int, d *descriptor) {
	if old, ok := p.descriptors[number]; ok {
		old.release()
	}
	if d == nil {
		delete(p.descriptors, number)
		return
	}
	p.descriptors[number] = d
}

// reader and writer give a descriptor of the program.
func (p *program) reader(number int) io.Reader { return programReader{p, number} }
func (p *program) writer(number int) io.Writer { return programWriter{p, number} }

type programReader struct {
	*program
	number int
}

func (r programReader) Read(b []byte) (int, error) {
	held, ok := r.descriptors[r.number]
	if !ok {
		return 0, syscall.EBADF
	}
	return held.read(r.ctx, b)
}

type programWriter struct {
	*program
	number int
}

func (w programWriter) Write(b []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, context.Cause(w.ctx)
	}
	held, ok := w.descriptors[w.number]
	if !ok {
		return 0, syscall.EBADF
	}
	n, err := held.write(w.ctx, b)
	if errors.Is(err, syscall.EPIPE) {
		w.deliver("PIPE")
	}
	return n, err
}

// open opens a file by the program's name for it.
func (p *program) open(name string, flags openFlags) (*descriptor, error) {
	file, err := p.machine.files.openFile(p.path(name), flags, 0o644)
	if err != nil {
		return nil, err
	}
	var opened stream = fileStream{file}
	switch file.node.device {
	case "":
	case "null":
		opened = nullStream{}
	case "zero":
		opened = zeroStream{}
	case "full":
		opened = fullStream{}
	case "tty":
		if p.session.terminal == nil {
			return nil, pathError("open", name, syscall.ENXIO)
		}
		opened = p.session.terminal
	}
	return newDescriptor(opened), nil
}

// path gives the absolute path of a name.
func (p *program) path(name string) string {
	if name == "" || name[0] == '/' {
		return name
	}
	return p.dir + "/" + name
}
