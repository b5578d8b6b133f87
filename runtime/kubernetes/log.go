package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"midge/agent"
	"midge/agent/pod"
	"midge/agent/spool"
	"midge/runtime"
)

// processes speaks with a pod's first process of what it supervises. When that has come
// to its end, what the task wrote last is in the kubelet's log.
type processes struct {
	*pod.Client
	container *container
}

// isLogged tells whether err means that what there is to know of a process is what the
// kubelet has logged.
func isLogged(id string, err error) bool {
	ended := (*PodError)(nil)
	return id == runtime.TaskProcessID && errors.As(err, &ended)
}

// Wait gives how a process has ended.
func (p processes) Wait(ctx context.Context, id string) (agent.Exit, error) {
	exit, err := p.Client.Wait(ctx, id)
	if !isLogged(id, err) {
		return exit, err
	}
	l := &podLog{ctx: ctx, container: p.container, why: err}
	defer l.Close()
	for {
		if _, err := l.Next(); errors.Is(err, io.EOF) {
			return p.LocalExit(*l.log.Exit()), nil
		} else if err != nil {
			return agent.Exit{}, err
		}
	}
}

// Output reads what a process writes.
func (p processes) Output(ctx context.Context, id string, from int64) (*output, error) {
	o := &output{ctx: ctx, container: p.container, id: id, next: from}
	reading, err := p.Client.Output(ctx, id, from)
	switch {
	case err == nil:
		o.reading = reading
	case isLogged(id, err):
		o.turnToLog(err)
	default:
		return nil, err
	}
	return o, nil
}

// An output reads what a process writes: from its pod's first process and, when that is
// no more, from the log.
type output struct {
	ctx       context.Context
	container *container
	id        string
	next      int64
	reading   interface {
		Next() (spool.Record, error)
		Close() error
	}
	logged bool
}

func (o *output) Next() (spool.Record, error) {
	for {
		record, err := o.reading.Next()
		if err == nil {
			o.next = record.Sequence + int64(len(record.Data))
			return record, nil
		}
		if o.logged || !isLogged(o.id, err) {
			return record, err
		}
		// What closing says does not matter any more.
		_ = o.reading.Close()
		o.turnToLog(err)
	}
}

func (o *output) turnToLog(why error) {
	o.reading, o.logged = &podLog{ctx: o.ctx, container: o.container, next: o.next, why: why}, true
}

func (o *output) Close() error { return o.reading.Close() }

// A podLog reads what the kubelet has logged of a task. Next gives io.EOF when that is
// all, and else what ended the pod.
type podLog struct {
	ctx       context.Context
	container *container
	next      int64
	why       error // what ended the pod
	stream    io.ReadCloser
	log       *pod.Log
}

func (l *podLog) Next() (spool.Record, error) {
	for attempt := 1; ; attempt++ {
		err := l.open()
		if err == nil {
			var record spool.Record
			record, err = l.log.Next()
			switch {
			case err == nil:
				l.next = record.Sequence + int64(len(record.Data))
				record.Time = l.container.client.LocalTime(record.Time)
				return record, nil
			case errors.Is(err, io.EOF) && l.log.Exit() != nil:
				return spool.Record{}, io.EOF
			case errors.Is(err, io.EOF):
				return spool.Record{}, l.why
			}
		}
		switch {
		case l.ctx.Err() != nil:
			return spool.Record{}, l.ctx.Err()
		case apierrors.IsNotFound(err), apierrors.IsBadRequest(err): // the log is gone, or there never was one
			return spool.Record{}, l.why
		case attempt == attempts || !passes(err):
			return spool.Record{}, fmt.Errorf("%w; what it wrote last is not known: %w", l.why, explainRequest(err))
		}
		l.Close()
		select {
		case <-l.ctx.Done():
		case <-time.After(time.Duration(attempt) * 200 * time.Millisecond):
		}
	}
}

// open opens the log, if it is not open.
func (l *podLog) open() error {
	if l.stream != nil {
		return nil
	}
	w := l.container.worker
	options := &corev1.PodLogOptions{Container: taskContainer}
	stream, err := w.client.Pods(w.options.Namespace).GetLogs(l.container.pod, options).Stream(l.ctx)
	if err != nil {
		return err
	}
	l.stream, l.log = stream, pod.ReadLog(stream, l.next)
	return nil
}

func (l *podLog) Close() error {
	if l.stream == nil {
		return nil
	}
	stream := l.stream
	l.stream = nil
	return stream.Close()
}
