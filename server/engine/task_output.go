package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"midge/api"
	"midge/runtime"
	"midge/server/eventlog"
)

const (
	// pieceBytes bounds the output in one event, backlogBytes what is read of it
	// before it is written: then the reading waits.
	pieceBytes   = 48 << 10
	backlogBytes = 4 * pieceBytes
)

// follow copies the process's output to the log until it has ended, and stops it
// when ctx ends before.
func (t *task) follow(ctx context.Context, container runtime.Container, process runtime.Process) (runtime.ExitStatus, error) {
	copied := make(chan error, 1)
	// What the process writes while it is being stopped is copied as well.
	copying, cancel := context.WithCancel(t.engine.hard)
	defer t.tellOutages(copying, container)()
	defer cancel()
	go func() { copied <- t.copyOutput(copying, process) }()
	select {
	case err := <-copied:
		if err != nil {
			// Of a container that is gone both say the same.
			if stopErr := t.stop(container); stopErr != nil {
				t.logger.Warn("a task whose output cannot be followed is not stopped", "step", t.plan.ID, "error", stopErr)
			}
			return runtime.ExitStatus{}, fmt.Errorf("follow the output: %w", err)
		}
		return process.Wait(t.engine.hard)
	case <-ctx.Done():
		stopErr := t.stop(container)
		if stopErr != nil {
			cancel()
		}
		err := errors.Join(context.Cause(ctx), stopErr, <-copied)
		if stopErr != nil {
			return runtime.ExitStatus{}, err
		}
		// How it has ended then tells who wants to know what killed it.
		status, waitErr := process.Wait(t.engine.hard)
		return status, errors.Join(err, waitErr)
	}
}

// tellOutages says in the output when the container is not reached, until ctx ends. Who
// calls it waits for that by what it gives.
func (t *task) tellOutages(ctx context.Context, container runtime.Container) (wait func()) {
	var telling sync.WaitGroup
	if distant, ok := container.(runtime.Distant); ok {
		telling.Go(func() { distant.TellOutages(ctx, t.sayProgress) })
	}
	return telling.Wait
}

// stop ends the task's processes. When an abort is asked for again they have no
// more time for that. When it is the engine that ends they are left alone.
func (t *task) stop(container runtime.Container) error {
	err := t.engine.stopping(t.force, container, t.engine.options.StopGrace)
	if err != nil && t.force.Err() != nil && t.engine.hard.Err() == nil {
		err = t.engine.stopping(t.engine.hard, container, 0)
	}
	return err
}

func (e *Engine) stopping(ctx context.Context, container runtime.Container, grace time.Duration) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err := container.Stop(ctx, grace); err != nil {
		return fmt.Errorf("stop the task: %w", err)
	}
	return nil
}

// copyOutput copies output to the log from the first byte that is not there to the last.
func (t *task) copyOutput(ctx context.Context, process runtime.Process) error {
	ctx, cancel := context.WithCancel(ctx)
	logged := t.loggedOutput()
	reader, err := process.Output(ctx, min(logged[runtime.Stdout].next, logged[runtime.Stderr].next))
	if err != nil {
		cancel()
		return err
	}
	defer reader.Close()
	backlog := newBacklog()
	var group sync.WaitGroup
	group.Go(func() { backlog.fill(reader) })
	defer group.Wait()
	defer backlog.abandon()
	defer cancel()
	for {
		pieces, err := backlog.take()
		if sayErr := t.sayOutput(logged, pieces, err == io.EOF); sayErr != nil {
			return sayErr
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// streamLog is how far a stream of the task's output is in the log.
type streamLog struct {
	source string
	next   int64 // sequence number after the last byte that is
	runes  api.RuneSplitter
}

// loggedOutput gives how far each stream is in the log.
func (t *task) loggedOutput() map[runtime.Stream]*streamLog {
	logged := map[runtime.Stream]*streamLog{
		runtime.Stdout: {source: api.SourceStdout},
		runtime.Stderr: {source: api.SourceStderr},
	}
	for _, stream := range logged {
		stream.next, _ = t.log.Mark(markOutput(t.plan.ID, stream.source))
	}
	return logged
}

// sayOutput puts pieces into the log, less the part of a character at the end of a
// stream that may go on. Each event has marks of both streams, because sequence
// numbers run over both.
func (t *task) sayOutput(logged map[runtime.Stream]*streamLog, pieces []piece, last bool) error {
	var events []eventlog.Event
	add := func(stream *streamLog, at time.Time, output []byte, end int64) {
		stream.next = end - int64(stream.runes.Held())
		for _, other := range logged {
			if other.runes.Held() == 0 {
				other.next = max(other.next, end)
			}
		}
		if len(output) == 0 {
			return
		}
		origin := api.Origin{ID: t.plan.ID, Source: stream.source}
		event := logEvent(api.NewLogEvent(at.Unix(), origin, output))
		for _, other := range logged {
			event.Marks = append(event.Marks, eventlog.Mark{Name: markOutput(t.plan.ID, other.source), Value: other.next})
		}
		events = append(events, event)
	}
	for _, piece := range pieces {
		stream := logged[piece.stream]
		// Earlier than what is logged are bytes that were read for the sake of the other stream.
		skip := min(max(stream.next-piece.sequence, 0), int64(len(piece.data)))
		add(stream, piece.time, stream.runes.Split(piece.data[skip:]), piece.end())
	}
	if last {
		for _, stream := range logged {
			end := stream.next + int64(stream.runes.Held())
			add(stream, time.Now(), stream.runes.Flush(), end)
		}
	}
	if len(events) == 0 {
		return nil
	}
	return t.say(events...)
}

// piece is consecutive output of one stream.
type piece struct {
	stream   runtime.Stream
	sequence int64 // of the first byte
	time     time.Time
	data     []byte
}

func (p piece) end() int64 { return p.sequence + int64(len(p.data)) }

// backlog is output that was read and is not written yet. A single line is handed
// on at once; what comes in while the log is busy is put together, so that a quick
// writer makes few large events.
type backlog struct {
	mu     sync.Mutex
	moved  sync.Cond
	pieces []piece
	bytes  int
	err    error // that ended the reading
	gone   bool  // nobody takes any more
}

func newBacklog() *backlog {
	b := &backlog{}
	b.moved.L = &b.mu
	return b
}

// fill reads until the reader gives an error, or the backlog was abandoned.
func (b *backlog) fill(reader runtime.OutputReader) {
	for {
		chunk, err := reader.Next()
		if !b.put(chunk, err) {
			return
		}
	}
}

// put adds a chunk, or the error in its place, and reports whether more is wanted.
func (b *backlog) put(chunk runtime.Chunk, err error) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.bytes >= backlogBytes && !b.gone {
		b.moved.Wait()
	}
	if b.gone {
		return false
	}
	defer b.moved.Broadcast()
	if err != nil {
		b.err = err
		return false
	}
	b.add(chunk)
	return true
}

// add puts a chunk at the end of the last piece, or makes it a piece of its own.
func (b *backlog) add(chunk runtime.Chunk) {
	b.bytes += len(chunk.Data)
	if n := len(b.pieces); n > 0 {
		last := &b.pieces[n-1]
		if last.stream == chunk.Stream && last.end() == chunk.Sequence && len(last.data)+len(chunk.Data) <= pieceBytes {
			last.data = append(last.data, chunk.Data...)
			return
		}
	}
	for sequence, data := chunk.Sequence, chunk.Data; len(data) > 0; {
		n := min(len(data), pieceBytes)
		b.pieces = append(b.pieces, piece{chunk.Stream, sequence, chunk.Time, append([]byte(nil), data[:n]...)})
		sequence, data = sequence+int64(n), data[n:]
	}
}

// take waits for output and gives all there is, and after the last the error that
// ended the reading.
func (b *backlog) take() ([]piece, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.pieces) == 0 && b.err == nil {
		b.moved.Wait()
	}
	pieces := b.pieces
	b.pieces, b.bytes = nil, 0
	b.moved.Broadcast()
	return pieces, b.err
}

// abandon tells that nobody takes any more.
func (b *backlog) abandon() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = true
	b.moved.Broadcast()
}
