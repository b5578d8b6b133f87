package transfer

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"path"
	"runtime"
	"sync"

	"midge/artifacts"
	"midge/artifacts/scan"
)

// inFlight is how many packs are sent at once.
const inFlight = 2

const (
	smallPack   = 1 << 20
	packEndSize = 1
)

// readers is how many goroutines read and compress.
func readers() int { return min(runtime.GOMAXPROCS(0), 8) }

// packer gathers frames into packs and sends those, several at a time. It makes
// who adds wait before there is more than the packs in flight, one that is being
// filled, and a frame for each reader.
type packer struct {
	sender *sender
	ctx    context.Context
	fail   context.CancelCauseFunc

	workers sync.WaitGroup // that make frames
	senders sync.WaitGroup
	flying  chan struct{} // holds a value for each pack in flight

	mu   sync.Mutex
	pack *bytes.Buffer // nil when there is no frame
	in   count
}

// count is what is in a frame or a pack.
type count struct{ files, bytes int64 }

func (c *count) add(other count) {
	c.files += other.files
	c.bytes += other.bytes
}

func newPacker(ctx context.Context, s *sender) *packer {
	ctx, cancel := context.WithCancelCause(ctx)
	return &packer{sender: s, ctx: ctx, fail: cancel, flying: make(chan struct{}, inFlight)}
}

var packBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// put adds an encoded frame.
func (p *packer) put(frame []byte, in count) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pack != nil && p.pack.Len()+len(frame) > artifacts.PackTarget {
		if err := p.send(); err != nil {
			return err
		}
	}
	if p.pack == nil {
		p.pack = packBuffers.Get().(*bytes.Buffer)
		p.pack.Reset()
		p.pack.Write(artifacts.AppendPackStart(nil))
	}
	// Most packs are small or full: one that outgrows small is made large at once, or
	// its doubling would take as much memory again.
	if need := p.pack.Len() + len(frame); need > p.pack.Cap() && need > smallPack {
		p.pack.Grow(max(len(frame), artifacts.PackTarget-p.pack.Len()) + packEndSize)
	}
	p.pack.Write(frame)
	p.in.add(in)
	return nil
}

// send sends the pack that was filled. p.mu is held, which makes those wait who
// would fill the next.
func (p *packer) send() error {
	if p.pack == nil {
		return nil
	}
	select {
	case p.flying <- struct{}{}:
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
	pack, in := p.pack, p.in
	p.pack, p.in = nil, count{}
	pack.Write(artifacts.AppendPackEnd(nil))
	p.senders.Go(func() {
		defer func() { <-p.flying }()
		if err := p.deliver(pack.Bytes(), in); err != nil {
			p.fail(err)
			return
		}
		packBuffers.Put(pack)
	})
	return nil
}

func (p *packer) deliver(pack []byte, in count) error {
	s := p.sender
	err := s.remote.objects(p.ctx, s.tree.Root, pack)
	var refused *ServerError
	if errors.As(err, &refused) && refused.Status == http.StatusUnprocessableEntity {
		// A file may have changed in a way that its times do not show.
		if key, ok := firstDamaged(pack); ok {
			return &scan.ChangedError{Path: s.pathOf(key)}
		}
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.receipt.Requests++
	s.receipt.SentFiles += in.files
	s.receipt.SentBytes += in.bytes
	s.receipt.SentCompressed += int64(len(pack))
	s.mu.Unlock()
	if s.options.Progress != nil && in.bytes > 0 {
		s.options.Progress.Moved(in.bytes)
	}
	return nil
}

// firstDamaged gives the first object of a pack whose content is not what its key says.
func firstDamaged(pack []byte) (artifacts.Key, bool) {
	reader := artifacts.NewPackReader(bytes.NewReader(pack))
	for {
		frame, err := reader.Next()
		if err != nil {
			return artifacts.Key{}, false
		}
		raw, err := frame.Decompress(nil)
		if err != nil {
			return artifacts.Key{}, false
		}
		var damaged *artifacts.DigestError
		if errors.As(frame.Verify(raw), &damaged) {
			return damaged.Key, true
		}
	}
}

// pathOf gives a file that has a content, "" if none has.
func (s *sender) pathOf(key artifacts.Key) string {
	for d := range s.tree.Directories() {
		for index, e := range d.Entries() {
			if e.Content == key {
				return path.Join(d.Path(), e.Name)
			}
			if e.Content.Kind != artifacts.KindList {
				continue
			}
			chunks, err := s.chunks(d, index)
			if err != nil {
				continue
			}
			for _, chunk := range chunks {
				if chunk.Digest == key.Digest {
					return path.Join(d.Path(), e.Name)
				}
			}
		}
	}
	return ""
}

// finish sends what is left and waits until all has arrived.
func (p *packer) finish() error {
	p.workers.Wait()
	if p.ctx.Err() == nil {
		p.mu.Lock()
		err := p.send()
		p.mu.Unlock()
		if err != nil {
			p.fail(err)
		}
	}
	p.senders.Wait()
	err := context.Cause(p.ctx)
	p.fail(nil)
	return err
}

// frames makes frames for a packer; one goroutine uses it.
type frames struct {
	packer  *packer
	builder *artifacts.FrameBuilder
	in      count
	encoded []byte
}

var frameBuilders = sync.Pool{New: func() any { return new(artifacts.FrameBuilder) }}

func (p *packer) newFrames() *frames {
	return &frames{packer: p, builder: frameBuilders.Get().(*artifacts.FrameBuilder)}
}

func (f *frames) release() {
	f.builder.Reset()
	frameBuilders.Put(f.builder)
}

// extend gives the memory for a content, to be filled before the next call.
func (f *frames) extend(key artifacts.Key, size int) ([]byte, error) {
	if !f.builder.Fits(size) {
		if err := f.flush(); err != nil {
			return nil, err
		}
	}
	f.in.bytes += int64(size)
	return f.builder.Extend(key, size), nil
}

// add takes a copy of a tree or list.
func (f *frames) add(tree treeRecord) error {
	if !f.builder.Fits(len(tree.record)) {
		if err := f.flush(); err != nil {
			return err
		}
	}
	f.builder.Add(tree.key, tree.record)
	return nil
}

func (f *frames) flush() error {
	f.encoded = f.builder.AppendFrame(f.encoded[:0])
	f.builder.Reset()
	in := f.in
	f.in = count{}
	if len(f.encoded) == 0 {
		return nil
	}
	return f.packer.put(f.encoded, in)
}
