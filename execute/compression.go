package execute

import (
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"

	"midge/runtime/archive/compression"
)

// errNotCompressed tells that an archive begins like none.
var errNotCompressed = errors.New("it is compressed neither by gzip nor by zstd")

// compressor gives what compresses to w as every server takes it.
func compressor(w io.Writer) (io.WriteCloser, error) {
	return gzip.NewWriterLevel(w, gzip.BestSpeed)
}

// decompressor gives what r holds in compressed form, by whichever of the two. The
// caller closes it, and then r.
func decompressor(r io.Reader) (io.ReadCloser, error) {
	plain, format, err := compression.Undo(r)
	if err == nil && format == compression.None {
		return nil, errNotCompressed
	}
	return plain, err
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
