package supervised

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"midge/agent"
	"midge/agent/pid1"
	"midge/agent/spool"
	"midge/api"
	"midge/runtime"
)

// A Client speaks with a container's midge-agent of the processes that this supervises:
// agent.Client does so on this machine, pod.Client in a pod.
type Client[O Output] interface {
	Output(ctx context.Context, id string, from int64) (O, error)
	Write(ctx context.Context, id string, offset int64, data []byte) (int64, error)
	CloseStdin(ctx context.Context, id string) error
	Resize(ctx context.Context, id string, size pid1.Size) error
	Signal(ctx context.Context, id string, s syscall.Signal) error
	Wait(ctx context.Context, id string) (agent.Exit, error)
	Usage(ctx context.Context, id string) (*api.ResourceUsage, error)
}

// An Output reads what a process writes.
type Output interface {
	Next() (spool.Record, error)
	Close() error
}

// Process gives a process that was started, by its id. explain makes of an error of the
// client what package runtime promises; it is not asked about nil.
func Process[O Output](client Client[O], id string, explain func(error) error) runtime.Process {
	return &process[O]{client: client, id: id, explain: explain}
}

type process[O Output] struct {
	client  Client[O]
	id      string
	explain func(error) error
}

func (p *process[O]) ID() string { return p.id }

// explained is what explain makes of an error, nil when there is none.
func (p *process[O]) explained(err error) error {
	if err == nil {
		return nil
	}
	return p.explain(err)
}

func (p *process[O]) Output(ctx context.Context, from int64) (runtime.OutputReader, error) {
	output, err := p.client.Output(ctx, p.id, from)
	if err != nil {
		return nil, p.explain(err)
	}
	return outputReader{output, p.explain}, nil
}

type outputReader struct {
	output  Output
	explain func(error) error
}

func (r outputReader) Next() (runtime.Chunk, error) {
	record, err := r.output.Next()
	if err != nil && !errors.Is(err, io.EOF) {
		err = r.explain(err)
	}
	return runtime.Chunk{
		Stream:   runtime.Stream(record.Stream),
		Sequence: record.Sequence,
		Time:     record.Time,
		Data:     record.Data,
	}, err
}

func (r outputReader) Close() error { return r.output.Close() }

func (p *process[O]) Write(ctx context.Context, offset int64, data []byte) (int64, error) {
	n, err := p.client.Write(ctx, p.id, offset, data)
	return n, p.explained(err)
}

func (p *process[O]) CloseStdin(ctx context.Context) error {
	return p.explained(p.client.CloseStdin(ctx, p.id))
}

func (p *process[O]) Resize(ctx context.Context, size runtime.WindowSize) error {
	return p.explained(p.client.Resize(ctx, p.id, pid1.Size{Columns: size.Columns, Rows: size.Rows}))
}

func (p *process[O]) Signal(ctx context.Context, signal runtime.Signal) error {
	number := unix.SignalNum("SIG" + string(signal))
	if number == 0 {
		return &runtime.SpecError{Message: fmt.Sprintf("there is no signal %q", signal)}
	}
	return p.explained(p.client.Signal(ctx, p.id, number))
}

func (p *process[O]) Wait(ctx context.Context) (runtime.ExitStatus, error) {
	exit, err := p.client.Wait(ctx, p.id)
	if err != nil {
		return runtime.ExitStatus{}, p.explain(err)
	}
	if exit.Error != "" {
		return runtime.ExitStatus{}, p.explain(fmt.Errorf("the output of process %q was lost: %w", p.id, errors.New(exit.Error)))
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

func (p *process[O]) Usage(ctx context.Context) (*api.ResourceUsage, error) {
	used, err := p.client.Usage(ctx, p.id)
	return used, p.explained(err)
}

// signalName gives a signal's name without SIG, or its number when it has none.
func signalName(s syscall.Signal) string {
	if name := unix.SignalName(s); name != "" {
		return strings.TrimPrefix(name, "SIG")
	}
	return fmt.Sprint(int(s))
}
