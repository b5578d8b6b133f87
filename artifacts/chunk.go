package artifacts

import (
	"errors"
	"io"
)

// A file of more than MaxContent bytes is cut into chunks of chunkMin to
// MaxContent bytes, chunkAverage on average.
const (
	MaxContent   = 4 << 20
	chunkMin     = 512 << 10
	chunkAverage = 1 << 20
)

// The chance of a cut is lower before chunkAverage and higher behind it, which
// keeps most chunks near the average.
const (
	cutMaskBefore = uint64(1<<22-1) << 42
	cutMaskBehind = uint64(1<<18-1) << 46
)

// gear gives each byte value a random number; the sum of those of the last 64
// bytes, each shifted by its age, decides where to cut. The numbers are part of
// the format: they come from splitmix64, started at 0.
var gear = func() (table [256]uint64) {
	var state uint64
	for i := range table {
		state += 0x9e3779b97f4a7c15
		z := state
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		table[i] = z ^ z>>31
	}
	return table
}()

// cut gives the length of the first chunk of p, which holds at least MaxContent
// bytes or ends where the file ends.
func cut(p []byte) int {
	if len(p) <= chunkMin {
		return len(p)
	}
	end := min(len(p), MaxContent)
	middle := min(end, chunkAverage)
	var hash uint64
	i := chunkMin - 64
	for ; i < chunkMin; i++ {
		hash = hash<<1 + gear[p[i]]
	}
	for ; i < middle; i++ {
		hash = hash<<1 + gear[p[i]]
		if hash&cutMaskBefore == 0 {
			return i + 1
		}
	}
	for ; i < end; i++ {
		hash = hash<<1 + gear[p[i]]
		if hash&cutMaskBehind == 0 {
			return i + 1
		}
	}
	return end
}

// Chunker cuts what it reads into chunks. It holds 2*MaxContent bytes, and can be
// used again by Reset.
type Chunker struct {
	r          io.Reader
	buffer     []byte
	start, end int
	err        error
}

// NewChunker gives a Chunker that reads from r.
func NewChunker(r io.Reader) *Chunker {
	return &Chunker{r: r, buffer: make([]byte, 2*MaxContent)}
}

// Reset makes the Chunker read from r, as if new.
func (c *Chunker) Reset(r io.Reader) { *c = Chunker{r: r, buffer: c.buffer} }

// Next gives the next chunk of a large file, which is the caller's until the next
// call. At the end it gives io.EOF. Whole comes first: it tells which files are large.
func (c *Chunker) Next() ([]byte, error) {
	if err := c.fill(); err != nil {
		return nil, err
	}
	if c.start == c.end {
		return nil, io.EOF
	}
	return c.take(cut(c.buffer[c.start:c.end])), nil
}

// Whole gives all that is left to read when that is at most MaxContent bytes,
// empty included, and false when it is more; then Next gives it in chunks.
func (c *Chunker) Whole() ([]byte, bool, error) {
	if err := c.fill(); err != nil {
		return nil, false, err
	}
	if c.end-c.start > MaxContent {
		return nil, false, nil
	}
	return c.take(c.end - c.start), true, nil
}

func (c *Chunker) take(n int) []byte {
	chunk := c.buffer[c.start : c.start+n]
	c.start += n
	return chunk
}

// fill reads until more than MaxContent bytes are there, or all.
func (c *Chunker) fill() error {
	if c.end-c.start > MaxContent || c.err != nil {
		return notEOF(c.err)
	}
	c.end = copy(c.buffer, c.buffer[c.start:c.end])
	c.start = 0
	for c.end < len(c.buffer) && c.err == nil {
		var n int
		n, c.err = c.r.Read(c.buffer[c.end:])
		c.end += n
	}
	return notEOF(c.err)
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
