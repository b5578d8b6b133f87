// Package compression finds out how a stream is compressed, by how it begins, and undoes
// that: archives of users, of servers and of image registries come in either of two
// formats, or in none, and nothing else says in which.
//
// It promises that a stream takes bounded memory, whatever it asks for, and knows nothing
// of what is in it.
package compression

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Format is how a stream is compressed.
type Format int

const (
	None Format = iota
	Gzip        // RFC 1952
	Zstd        // RFC 8878
)

// beginning is how many bytes tell the format.
const beginning = 4

// Of tells the format of a stream by its first bytes, 4 or more unless it is shorter.
func Of(begin []byte) Format {
	switch {
	case bytes.HasPrefix(begin, []byte{0x1f, 0x8b}):
		return Gzip
	case bytes.HasPrefix(begin, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return Zstd
	}
	return None
}

// maxWindow bounds the memory that a zstd stream can ask for, in bytes: what zstd --ultra
// asks for at its highest level.
const maxWindow = 128 << 20

// Undo gives what r holds, and how it was compressed; that of None is what r gives, and
// so is that of an empty r. The caller closes it, and then r.
func Undo(r io.Reader) (io.ReadCloser, Format, error) {
	buffered := bufio.NewReaderSize(r, 64<<10)
	begin, err := buffered.Peek(beginning)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, None, err
	}
	switch format := Of(begin); format {
	case Gzip:
		reader, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, format, err
		}
		return reader, format, nil
	case Zstd:
		decoder, err := zstd.NewReader(buffered, zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, format, err
		}
		return decoder.IOReadCloser(), format, nil
	default:
		return io.NopCloser(buffered), format, nil
	}
}
