package runc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"midge/agent"
	"midge/agent/pid1"
	"midge/api"
	"midge/runtime"
)

// A process is a runtime.Process.
type process struct {
	container *container
	id        string
}

func (c *container) process(id string) *process { return &process{container: c, id: id} }

func (p *process) ID() string { return p.id }

func (p *process) Output(ctx context.Context, from int64) (runtime.OutputReader, error) {
	o, err := p.container.client.Output(ctx, p.id, from)
	if err != nil {
		return nil, p.container.explain(err)
	}
	return outputReader{o}, nil
}

type outputReader struct{ output *agent.Output }

func (r outputReader) Next() (runtime.Chunk, error) {
	record, err := r.output.Next()
	return runtime.Chunk{
		Stream:   runtime.Stream(record.Stream),
		Sequence: record.Sequence,
		Time:     record.Time,
		Data:     record.Data,
	}, err
}

func (r outputReader) Close() error { return r.output.Close() }

func (p *process) Write(ctx context.Context, offset int64, data []byte) (int64, error) {
	n, err := p.container.client.Write(ctx, p.id, offset, data)
	if err != nil {
		return n, p.container.explain(err)
	}
	return n, nil
}

func (p *process) CloseStdin(ctx context.Context) error {
	if err := p.container.client.CloseStdin(ctx, p.id); err != nil {
		return p.container.explain(err)
	}
	return nil
}

func (p *process) Resize(ctx context.Context, size runtime.WindowSize) error {
	err := p.container.client.Resize(ctx, p.id, pid1.Size{Columns: size.Columns, Rows: size.Rows})
	if err != nil {
		return p.container.explain(err)
	}
	return nil
}

func (p *process) Signal(ctx context.Context, signal runtime.Signal) error {
	number := unix.SignalNum("SIG" + string(signal))
	if number == 0 {
		return &runtime.SpecError{Message: fmt.Sprintf("there is no signal %q", signal)}
	}
	if err := p.container.client.Signal(ctx, p.id, number); err != nil {
		return p.container.explain(err)
	}
	return nil
}

func (p *process) Wait(ctx context.Context) (runtime.ExitStatus, error) {
	exit, err := p.container.client.Wait(ctx, p.id)
	if err != nil {
		return runtime.ExitStatus{}, p.container.explain(err)
	}
	if exit.Error != "" {
		return runtime.ExitStatus{}, fmt.Errorf("container %s: the output of process %q was lost: %w", p.container.handle, p.id, errors.New(exit.Error))
	}
	status := runtime.ExitStatus{
		Code:      exit.Code,
		OOMKilled: exit.OOMKilled,
		DiskUsed:  exit.DiskUsed,
		Started:   exit.Started,
		Ended:     exit.Ended,
	}
	if exit.Signal != 0 {
		status.Signal = signalName(syscall.Signal(exit.Signal))
	}
	return status, nil
}

func (p *process) Usage(context.Context) (*api.ResourceUsage, error) {
	used, err := p.container.client.Usage(p.id)
	if err != nil {
		return nil, p.container.explain(err)
	}
	return used, nil
}

// signalName gives a signal's name without SIG, or its number when it has none.
func signalName(s syscall.Signal) string {
	if name := unix.SignalName(s); name != "" {
		return strings.TrimPrefix(name, "SIG")
	}
	return fmt.Sprint(int(s))
}
