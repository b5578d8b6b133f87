package server

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"midge/runtime"
)

// What archives begin with.
var (
	gzipMagic = []byte{0x1f, 0x8b}
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

// zstdWindow bounds the memory that a zstd archive can ask for, in bytes.
const zstdWindow = 128 << 20

// decompress gives the tar stream in an archive that is compressed by gzip, by zstd
// or not at all. An archive that cannot be one is a *runtime.TarError.
func decompress(body io.Reader) (io.ReadCloser, error) {
	buffered := bufio.NewReaderSize(body, 64<<10)
	magic, err := buffered.Peek(len(zstdMagic))
	if err != nil && len(magic) == 0 {
		return nil, &runtime.TarError{Err: errors.New("there is nothing in it")}
	}
	switch {
	case bytes.HasPrefix(magic, gzipMagic):
		reader, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, &runtime.TarError{Err: err}
		}
		return reader, nil
	case bytes.HasPrefix(magic, zstdMagic):
		reader, err := zstd.NewReader(buffered, zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			return nil, &runtime.TarError{Err: err}
		}
		return reader.IOReadCloser(), nil
	}
	return io.NopCloser(buffered), nil
}

// compress writes a tar stream as an archive: by zstd for who accepts that, else by
// gzip, which every fly reads.
func compress(w io.Writer, tar io.Reader, accepts string) error {
	var (
		compressor io.WriteCloser
		err        error
	)
	if acceptsZstd(accepts) {
		compressor, err = zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest))
	} else {
		compressor, err = gzip.NewWriterLevel(w, gzip.BestSpeed)
	}
	if err != nil {
		return err
	}
	if _, err := io.Copy(compressor, tar); err != nil {
		return errors.Join(err, compressor.Close())
	}
	return compressor.Close()
}

// acceptsZstd reports whether an Accept-Encoding names zstd.
func acceptsZstd(accepts string) bool {
	for coding := range strings.SplitSeq(accepts, ",") {
		name, weight, _ := strings.Cut(coding, ";")
		if strings.TrimSpace(name) == "zstd" && strings.ReplaceAll(weight, " ", "") != "q=0" {
			return true
		}
	}
	return false
}
