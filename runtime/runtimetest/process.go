package runtimetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"midge/api"
	"midge/runtime"
	"midge/runtime/runtimetest/machine"
)

// process is a session of the container's machine, with its output kept.
type process struct {
	container *container
	spec      runtime.ProcessSpec
	session   *machine.Session
	output    *output
	started   time.Time

	ended  chan struct{}
	status runtime.ExitStatus // once ended is closed

	input    chan struct{} // held, by a token in it, by who gives input
	received int64         // input bytes; guarded by input
	closed   bool          // guarded by input
}

func startProcess(c *container, spec runtime.ProcessSpec, command machine.Command) (*process, error) {
	p := &process{
		container: c, spec: spec, output: newOutput(spec.Scrollback), started: time.Now(),
		ended: make(chan struct{}), input: make(chan struct{}, 1),
	}
	command.Output = p.output.write
	session, err := c.machine.Start(command)
	if err != nil {
		return nil, p.startError(command.Path, err)
	}
	p.session = session
	go p.await()
	return p, nil
}

// startError tells why a command that is executable could not be executed.
func (p *process) startError(path string, err error) error {
	var unexecutable *machine.ExecError
	if errors.As(err, &unexecutable) && errors.Is(err, syscall.ENOEXEC) {
		return &runtime.ExecutableError{Path: path, Found: true, Reason: fmt.Sprintf("%q is in no format that can be executed", unexecutable.Path)}
	}
	if errors.Is(err, syscall.ENOENT) || errors.As(err, &unexecutable) {
		return &runtime.ExecutableError{Path: path, Found: true, Reason: fmt.Sprintf("the interpreter of %q cannot be executed: %v", path, err)}
	}
	return fmt.Errorf("run process %q in container %q: %w", p.spec.ID, p.container.spec.Handle, err)
}

// await keeps how the session ended.
func (p *process) await() {
	<-p.session.Done()
	status := p.session.Status()
	p.status = runtime.ExitStatus{
		Code: status.Code, Signal: status.Signal, OOMKilled: status.OutOfMemory, Started: p.started, Ended: time.Now(),
	}
	p.output.end()
	close(p.ended)
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (p *process) ID() string { return p.spec.ID }

func (p *process) Output(ctx context.Context, from int64) (runtime.OutputReader, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return p.output.reader(ctx, from), nil
}

// hold waits for the turn to give input.
func (p *process) hold(ctx context.Context) (release func(), err error) {
	select {
	case p.input <- struct{}{}:
		return sync.OnceFunc(func() { <-p.input }), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *process) Write(ctx context.Context, offset int64, input []byte) (int64, error) {
	if !p.spec.Stdin && p.spec.TTY == nil {
		return 0, fmt.Errorf("write to process %q: it has no stdin", p.spec.ID)
	}
	release, err := p.hold(ctx)
	if err != nil {
		return 0, err
	}
	defer release()
	if offset < 0 || offset > p.received {
		return p.received, fmt.Errorf("write to process %q: offset %d is beyond the %d bytes that have arrived", p.spec.ID, offset, p.received)
	}
	known := min(p.received-offset, int64(len(input)))
	input = input[known:]
	if len(input) == 0 {
		return p.received, nil
	}
	if p.closed {
		return p.received, fmt.Errorf("write to process %q: its stdin is closed", p.spec.ID)
	}
	n, err := p.session.Write(ctx, input)
	p.received += int64(n)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.EIO) {
		err = fmt.Errorf("write to process %q: it reads no more: %w", p.spec.ID, err)
	}
	return p.received, err
}

func (p *process) CloseStdin(ctx context.Context) error {
	release, err := p.hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	if p.closed || !p.running() {
		return nil
	}
	if err := p.session.CloseStdin(ctx); err != nil && !errors.Is(err, syscall.EIO) {
		return fmt.Errorf("close the stdin of process %q: %w", p.spec.ID, err)
	}
	p.closed = true
	return nil
}

func (p *process) Resize(ctx context.Context, size runtime.WindowSize) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := p.session.Resize(machine.WindowSize{Columns: size.Columns, Rows: size.Rows}); err != nil {
		return fmt.Errorf("resize process %q: %w", p.spec.ID, err)
	}
	return nil
}

func (p *process) Signal(ctx context.Context, signal runtime.Signal) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !machine.IsSignal(string(signal)) {
		return fmt.Errorf("signal process %q: %q is no signal", p.spec.ID, signal)
	}
	p.session.Signal(string(signal))
	return nil
}

// Usage tells when the process ended and under which limits it ran: the machine in
// memory has no counters.
func (p *process) Usage(context.Context) (*api.ResourceUsage, error) {
	if p.spec.ID != runtime.TaskProcessID || p.running() {
		return nil, nil
	}
	limits := &api.UsageLimits{}
	if memory := p.container.spec.Limits.Memory; memory > 0 {
		limits.MemoryBytes = &memory
	}
	if processes := p.container.spec.Limits.Pids; processes > 0 {
		most := uint64(processes)
		limits.PIDs = &most
	}
	const reason = "a machine in memory does not count it"
	return &api.ResourceUsage{
		Samples: []api.Sample{{Timestamp: p.status.Ended}},
		Limits:  limits,
		Missing: map[string]string{
			"cpuStat": reason, "memoryStat": reason, "ioStat": reason, "pidsStat": reason, "netStat": reason,
		},
	}, nil
}

func (p *process) Wait(ctx context.Context) (runtime.ExitStatus, error) {
	select {
	case <-p.ended:
		return p.status, nil
	case <-ctx.Done():
		return runtime.ExitStatus{}, ctx.Err()
	}
}
