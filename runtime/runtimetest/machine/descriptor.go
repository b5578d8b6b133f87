package machine

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
)

// stream is what a program reads from and writes to. A read or write that waits
// ends with its context.
type stream interface {
	read(ctx context.Context, p []byte) (int, error)
	write(ctx context.Context, p []byte) (int, error)
	close()
}

// descriptor is a stream that several programs hold; the last that lets go closes it.
type descriptor struct {
	stream
	holders atomic.Int32
}

func newDescriptor(s stream) *descriptor {
	d := &descriptor{stream: s}
	d.holders.Store(1)
	return d
}

func (d *descriptor) hold() *descriptor {
	d.holders.Add(1)
	return d
}

func (d *descriptor) release() {
	if d.holders.Add(-1) == 0 {
		d.close()
	}
}

// fileStream is a file of the file system.
type fileStream struct{ file *openFile }

func (f fileStream) read(_ context.Context, p []byte) (int, error)  { return f.file.Read(p) }
func (f fileStream) write(_ context.Context, p []byte) (int, error) { return f.file.Write(p) }
func (f fileStream) close()                                         {}

// nullStream is /dev/null.
type nullStream struct{}

func (nullStream) read(context.Context, []byte) (int, error)      { return 0, io.EOF }
func (nullStream) write(_ context.Context, p []byte) (int, error) { return len(p), nil }
func (nullStream) close()                                         {}

// zeroStream is /dev/zero.
type zeroStream struct{ nullStream }

func (zeroStream) read(ctx context.Context, p []byte) (int, error) {
	clear(p)
	return len(p), context.Cause(ctx)
}

// fullStream is /dev/full.
type fullStream struct{ zeroStream }

func (fullStream) write(context.Context, []byte) (int, error) { return 0, syscall.ENOSPC }

// outputStream hands what is written to a function.
type outputStream struct {
	nullStream
	output func(ctx context.Context, p []byte) error
}

func (o outputStream) write(ctx context.Context, p []byte) (int, error) {
	if err := o.output(ctx, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// pipe is a bounded buffer between who writes and who reads.
type pipe struct {
	mu       sync.Mutex
	buffer   []byte
	changed  chan struct{} // closed, and made anew, when anything below or above changes
	noReader bool
	noWriter bool
}

const pipeSize = 64 << 10

func newPipe() *pipe { return &pipe{changed: make(chan struct{})} }

// wait waits for a change. The pipe is locked, and locked again afterwards.
func (p *pipe) wait(ctx context.Context) error {
	changed := p.changed
	p.mu.Unlock()
	defer p.mu.Lock()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *pipe) change() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *pipe) read(ctx context.Context, b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.buffer) == 0 {
		if p.noWriter {
			return 0, io.EOF
		}
		if err := p.wait(ctx); err != nil {
			return 0, err
		}
	}
	n := copy(b, p.buffer)
	p.buffer = p.buffer[n:]
	p.change()
	return n, nil
}

func (p *pipe) write(ctx context.Context, b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for written := 0; ; {
		if p.noReader {
			return written, syscall.EPIPE
		}
		if room := pipeSize - len(p.buffer); room > 0 {
			n := min(room, len(b)-written)
			p.buffer = append(p.buffer, b[written:written+n]...)
			written += n
			p.change()
		}
		if written == len(b) {
			return written, nil
		}
		if err := p.wait(ctx); err != nil {
			return written, err
		}
	}
}

func (p *pipe) closeReader() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.noReader = true
	p.change()
}

func (p *pipe) closeWriter() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.noWriter = true
	p.change()
}

// readEnd and writeEnd are a pipe as its two sides hold it.
type readEnd struct{ *pipe }

func (r readEnd) write(context.Context, []byte) (int, error) { return 0, syscall.EBADF }
func (r readEnd) close()                                     { r.closeReader() }

type writeEnd struct{ *pipe }

func (w writeEnd) read(context.Context, []byte) (int, error) { return 0, syscall.EBADF }
func (w writeEnd) close()                                    { w.closeWriter() }
