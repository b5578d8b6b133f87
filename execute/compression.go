package execute

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

var (
	gzipMagic = []byte{0x1f, 0x8b}
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

// errNotCompressed tells that an archive begins like none.
var errNotCompressed = errors.New("it is compressed neither by gzip nor by zstd")

// maxWindowBytes bounds the memory that a zstd stream may ask for.
const maxWindowBytes = 64 << 20

// compressor gives what compresses to w as every server takes it.
func compressor(w io.Writer) (io.WriteCloser, error) {
	return gzip.NewWriterLevel(w, gzip.BestSpeed)
}

// decompressor gives what r holds in compressed form, by whichever of the two. The
// caller closes it, and then r.
func decompressor(r io.Reader) (io.ReadCloser, error) {
	buffered := bufio.NewReaderSize(r, 64<<10)
	magic, err := buffered.Peek(len(zstdMagic))
	switch {
	case bytes.HasPrefix(magic, gzipMagic):
		return gzip.NewReader(buffered)
	case bytes.HasPrefix(magic, zstdMagic):
		decoder, err := zstd.NewReader(buffered, zstd.WithDecoderMaxWindow(maxWindowBytes))
		if err != nil {
			return nil, err
		}
		return decoder.IOReadCloser(), nil
	case err != nil && err != io.EOF:
		return nil, err
	}
	return nil, errNotCompressed
}

// countedReader counts what is read through it.
type countedReader struct {
	io.Reader
	count int64
	tell  func(count int64) // nil for nobody
}

func (r *countedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.count += int64(n)
	if r.tell != nil && n > 0 {
		r.tell(r.count)
	}
	return n, err
}
