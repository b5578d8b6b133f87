package runtimetest

import (
	"context"
	"io"
	"sort"
	"sync"
	"time"

	"midge/runtime"
)

// output keeps what a process has written, numbered from its first byte.
type output struct {
	scrollback int64

	mu      sync.Mutex
	changed chan struct{} // closed, and made anew, when anything below changes
	chunks  []runtime.Chunk
	first   int64 // the number of the first byte kept
	next    int64 // the number of the next byte
	read    int64 // the number after the last byte that anybody has read
	ended   bool
}

// largestChunk bounds how much of what comes from one stream is joined.
const largestChunk = 32 << 10

// unreadAllowance is how far a process may be ahead of its readers at the least.
const unreadAllowance = 64 << 10

func newOutput(scrollback int64) *output {
	return &output{scrollback: scrollback, changed: make(chan struct{})}
}

func (o *output) change() {
	close(o.changed)
	o.changed = make(chan struct{})
}

// write keeps more. It waits while too much has been read by nobody.
func (o *output) write(ctx context.Context, stream int, p []byte) error {
	for len(p) > 0 {
		piece := p[:min(len(p), largestChunk)]
		if err := o.append(ctx, runtime.Stream(stream), piece); err != nil {
			return err
		}
		p = p[len(piece):]
	}
	return nil
}

func (o *output) append(ctx context.Context, stream runtime.Stream, p []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.scrollback > 0 && o.next-o.read >= max(o.scrollback, unreadAllowance) {
		changed := o.changed
		o.mu.Unlock()
		select {
		case <-changed:
			o.mu.Lock()
		case <-ctx.Done():
			o.mu.Lock()
			return context.Cause(ctx)
		}
	}
	if last := len(o.chunks) - 1; last >= 0 && o.chunks[last].Stream == stream && len(o.chunks[last].Data)+len(p) <= largestChunk {
		// Readers that hold the data see no more of it than they were given.
		o.chunks[last].Data = append(o.chunks[last].Data, p...)
	} else {
		o.chunks = append(o.chunks, runtime.Chunk{Stream: stream, Sequence: o.next, Time: time.Now(), Data: append([]byte(nil), p...)})
	}
	o.next += int64(len(p))
	o.drop()
	o.change()
	return nil
}

// drop forgets what was read and is beyond the scrollback.
func (o *output) drop() {
	for o.scrollback > 0 && len(o.chunks) > 0 {
		end := o.chunks[0].Sequence + int64(len(o.chunks[0].Data))
		if end > o.read-o.scrollback/2 || o.next-end < o.scrollback {
			return
		}
		o.chunks = o.chunks[1:]
		o.first = end
	}
}

func (o *output) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	o.change()
}

func (o *output) reader(ctx context.Context, from int64) *outputReader {
	return &outputReader{ctx: ctx, output: o, next: max(from, 0), closed: make(chan struct{})}
}

// outputReader is a position in an output.
type outputReader struct {
	ctx    context.Context
	output *output
	next   int64
	once   sync.Once
	closed chan struct{}
}

func (r *outputReader) Next() (runtime.Chunk, error) {
	o := r.output
	for {
		if err := r.ctx.Err(); err != nil {
			return runtime.Chunk{}, err
		}
		o.mu.Lock()
		if r.next = max(r.next, o.first); r.next < o.next {
			chunk := o.at(r.next)
			r.next += int64(len(chunk.Data))
			if r.next > o.read {
				o.read = r.next
				o.drop()
				o.change()
			}
			o.mu.Unlock()
			return chunk, nil
		}
		changed, ended := o.changed, o.ended
		o.mu.Unlock()
		if ended {
			return runtime.Chunk{}, io.EOF
		}
		select {
		case <-changed:
		case <-r.closed:
			return runtime.Chunk{}, io.ErrClosedPipe
		case <-r.ctx.Done():
		}
	}
}

// at gives what is kept from a number on, as far as it is of one piece. The
// output is locked.
func (o *output) at(number int64) runtime.Chunk {
	i := sort.Search(len(o.chunks), func(i int) bool {
		return o.chunks[i].Sequence+int64(len(o.chunks[i].Data)) > number
	})
	chunk := o.chunks[i]
	chunk.Data = chunk.Data[number-chunk.Sequence : len(chunk.Data) : len(chunk.Data)]
	chunk.Sequence = number
	return chunk
}

func (r *outputReader) Close() error {
	r.once.Do(func() { close(r.closed) })
	return nil
}
