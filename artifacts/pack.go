package artifacts

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Bounds of a pack.
const (
	// MaxObject is the most bytes of one object: a chunk, a list, a tree record.
	MaxObject = 8 << 20
	// FrameTarget is how many bytes of small objects share a frame.
	FrameTarget = 1 << 20
	// PackTarget is how large a pack grows before the next is begun, in encoded bytes.
	PackTarget = 8 << 20
	// MaxPack is the most bytes of a pack in one request.
	MaxPack = 31 << 20

	maxFrame        = MaxObject + FrameTarget
	maxFrameObjects = 1 << 16
)

// packMagic begins every pack; its last byte is the version of the format.
const packMagic = "midgepk\x01"

// Object is an object's place in a frame.
type Object struct {
	Key  Key
	Size int // of its record, in bytes
}

// FrameBuilder gathers objects for one frame. The zero value is empty.
type FrameBuilder struct {
	objects    []Object
	raw        []byte
	compressed []byte // memory for AppendFrame
}

// Add takes a copy of an object's record.
func (b *FrameBuilder) Add(key Key, record []byte) {
	b.objects = append(b.objects, Object{key, len(record)})
	b.raw = append(b.raw, record...)
}

// Extend makes room for the record of an object and gives it to be filled, before
// anything else is called.
func (b *FrameBuilder) Extend(key Key, size int) []byte {
	start := len(b.raw)
	b.raw = slices.Grow(b.raw, max(size, FrameTarget-start))[:start+size]
	b.objects = append(b.objects, Object{key, size})
	return b.raw[start:]
}

// Fits reports whether another object of size bytes belongs into this frame.
func (b *FrameBuilder) Fits(size int) bool {
	return len(b.objects) == 0 || (len(b.raw)+size <= FrameTarget && len(b.objects) < maxFrameObjects)
}

// Objects gives what was added, in order.
func (b *FrameBuilder) Objects() []Object { return b.objects }

// Reset empties the builder, and keeps its memory.
func (b *FrameBuilder) Reset() { b.objects, b.raw = b.objects[:0], b.raw[:0] }

// AppendFrame compresses what was added and appends it to dst as a frame. An
// empty builder appends nothing.
func (b *FrameBuilder) AppendFrame(dst []byte) []byte {
	if len(b.objects) == 0 {
		return dst
	}
	b.compressed = zstdEncoder().EncodeAll(b.raw, b.compressed[:0])
	dst = binary.AppendUvarint(dst, uint64(len(b.objects)))
	for _, object := range b.objects {
		dst = append(dst, byte(object.Key.Kind))
		dst = append(dst, object.Key.Digest[:]...)
		dst = binary.AppendUvarint(dst, uint64(object.Size))
	}
	dst = binary.AppendUvarint(dst, uint64(len(b.compressed)))
	return append(dst, b.compressed...)
}

// AppendPackStart appends what a pack begins with.
func AppendPackStart(dst []byte) []byte { return append(dst, packMagic...) }

// AppendPackEnd appends what tells a pack that is whole from one that was cut.
func AppendPackEnd(dst []byte) []byte { return append(dst, 0) }

// Frame is a frame as it was read.
type Frame struct {
	Objects []Object
	// Encoded is the frame as it stands in the pack, Compressed the zstd frame in it.
	Encoded, Compressed []byte
	raw                 int
}

// Raw gives how many bytes the frame says it has when decompressed.
func (f *Frame) Raw() int { return f.raw }

// Decompress gives the records of all objects, one behind the other, in the
// memory of buffer if that is large enough. More or fewer bytes than the frame
// says are a *FormatError.
func (f *Frame) Decompress(buffer []byte) ([]byte, error) {
	if cap(buffer) < f.raw {
		buffer = make([]byte, 0, f.raw)
	}
	raw, err := zstdDecoder().DecodeAll(f.Compressed, buffer[:0:f.raw])
	if err != nil {
		return nil, badFormat("pack", "a frame of %d bytes does not decompress to the %d it says: %v", len(f.Compressed), f.raw, err)
	}
	if len(raw) != f.raw {
		return nil, badFormat("pack", "a frame decompresses to %d bytes instead of %d", len(raw), f.raw)
	}
	return raw, nil
}

// Verify compares the digest of every object in raw, which Decompress gave, with
// what the frame says. It gives a *DigestError for the first that differs.
func (f *Frame) Verify(raw []byte) error {
	for _, object := range f.Objects {
		if err := VerifyRecord(object.Key, raw[:object.Size]); err != nil {
			return err
		}
		raw = raw[object.Size:]
	}
	return nil
}

// VerifyRecord compares an object's digest with its record.
func VerifyRecord(key Key, record []byte) error {
	var have Digest
	if key.Kind == KindTree {
		tree, err := ParseTreeRecord(record)
		if err != nil {
			return fmt.Errorf("%v: %w", key, err)
		}
		have = tree.Digest
	} else {
		have = Sum(record)
	}
	if have != key.Digest {
		return &DigestError{Key: key, Have: have}
	}
	return nil
}

// PackReader reads a pack's frames one by one. It holds one encoded frame.
type PackReader struct {
	r       *bufio.Reader
	encoded []byte
	objects []Object
	started bool
}

// NewPackReader gives a reader of the pack in r.
func NewPackReader(r io.Reader) *PackReader {
	return &PackReader{r: bufio.NewReaderSize(r, 64<<10)}
}

// Next gives the next frame, whose memory is the caller's until the next call;
// io.EOF after the last. What is cut or out of bounds is a *FormatError, what
// could not be read another error.
func (p *PackReader) Next() (Frame, error) {
	if !p.started {
		if err := p.start(); err != nil {
			return Frame{}, err
		}
		p.started = true
	}
	p.encoded, p.objects = p.encoded[:0], p.objects[:0]
	count, err := p.uvarint()
	if err != nil {
		return Frame{}, err
	}
	if count == 0 {
		return Frame{}, io.EOF
	}
	if count > maxFrameObjects {
		return Frame{}, badFormat("pack", "%d objects in a frame", count)
	}
	raw := 0
	for range count {
		object, err := p.object()
		if err != nil {
			return Frame{}, err
		}
		if raw += object.Size; raw > maxFrame {
			return Frame{}, badFormat("pack", "a frame of more than %d bytes", maxFrame)
		}
		p.objects = append(p.objects, object)
	}
	length, err := p.uvarint()
	if err != nil {
		return Frame{}, err
	}
	if length > maxFrame {
		return Frame{}, badFormat("pack", "a compressed frame of %d bytes", length)
	}
	compressed, err := p.bytes(int(length))
	if err != nil {
		return Frame{}, err
	}
	return Frame{Objects: p.objects, Encoded: p.encoded, Compressed: compressed, raw: raw}, nil
}

func (p *PackReader) start() error {
	magic, err := p.bytes(len(packMagic))
	if err != nil {
		return err
	}
	if string(magic) != packMagic {
		return badFormat("pack", "it does not begin as a pack of a version known here")
	}
	return nil
}

func (p *PackReader) object() (Object, error) {
	header, err := p.bytes(1 + DigestSize)
	if err != nil {
		return Object{}, err
	}
	kind := Kind(header[0])
	if kind < KindContent || kind > KindTree {
		return Object{}, badFormat("pack", "an object of kind %d", kind)
	}
	key := Key{kind, Digest(header[1:])}
	size, err := p.uvarint()
	if err != nil {
		return Object{}, err
	}
	if size == 0 || size > MaxObject || (kind == KindContent && size > MaxContent) {
		return Object{}, badFormat("pack", "%v of %d bytes", key, size)
	}
	return Object{key, int(size)}, nil
}

// bytes reads n bytes onto the end of encoded.
func (p *PackReader) bytes(n int) ([]byte, error) {
	start := len(p.encoded)
	if cap(p.encoded)-start < n {
		p.encoded = append(make([]byte, 0, start+n+start/2), p.encoded...)
	}
	p.encoded = p.encoded[:start+n]
	if _, err := io.ReadFull(p.r, p.encoded[start:]); err != nil {
		return nil, cutOr(err)
	}
	return p.encoded[start:], nil
}

func (p *PackReader) uvarint() (uint64, error) {
	start := len(p.encoded)
	for {
		b, err := p.r.ReadByte()
		if err != nil {
			return 0, cutOr(err)
		}
		p.encoded = append(p.encoded, b)
		if b < 0x80 {
			break
		}
		if len(p.encoded)-start == binary.MaxVarintLen64 {
			return 0, badFormat("pack", "a number that is too long")
		}
	}
	d := decoder{rest: p.encoded[start:]}
	v := d.uvarint()
	if d.failed {
		return 0, badFormat("pack", "a number that is not in its shortest form")
	}
	return v, nil
}

func cutOr(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return badFormat("pack", "it is cut")
	}
	return fmt.Errorf("read pack: %w", err)
}

// ParseFrame takes apart one frame that is in memory as a whole, as Encoded gives it.
func ParseFrame(encoded []byte) (Frame, error) {
	d := decoder{rest: encoded}
	count := d.length()
	if d.failed || count == 0 || count > maxFrameObjects {
		return Frame{}, badFormat("pack", "a frame of %d objects", count)
	}
	frame := Frame{Objects: make([]Object, count), Encoded: encoded}
	for i := range frame.Objects {
		kind := Kind(d.byte())
		digest := d.digest()
		size := d.size()
		if d.failed || size == 0 || size > MaxObject || kind < KindContent || kind > KindTree {
			return Frame{}, badFormat("pack", "object %d of a frame is damaged", i)
		}
		frame.Objects[i] = Object{Key{kind, digest}, int(size)}
		frame.raw += int(size)
	}
	if length := d.length(); d.failed || length != len(d.rest) || frame.raw > maxFrame {
		return Frame{}, badFormat("pack", "a frame is cut or has more behind its end")
	}
	frame.Compressed = d.rest
	return frame, nil
}

// zstdEncoder is shared: EncodeAll may be called by many, and waits when all cores are at it.
var zstdEncoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithWindowSize(FrameTarget),
		zstd.WithEncoderCRC(false),
		zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic("artifacts: the options of the zstd encoder are wrong: " + err.Error())
	}
	return e
})

var zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(0),
		zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxMemory(maxFrame),
		zstd.WithDecoderLowmem(true))
	if err != nil {
		panic("artifacts: the options of the zstd decoder are wrong: " + err.Error())
	}
	return d
})
