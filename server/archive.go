package server

import (
	"bufio"
	"errors"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"midge/runtime"
	"midge/runtime/archive/compression"
)

// decompress gives the tar stream in an archive that is compressed by gzip, by zstd
// or not at all. An archive that cannot be one is a *runtime.TarError.
func decompress(body io.Reader) (io.ReadCloser, error) {
	buffered := bufio.NewReaderSize(body, 64<<10)
	if _, err := buffered.Peek(1); err != nil {
		return nil, &runtime.TarError{Err: errors.New("there is nothing in it")}
	}
	archive, _, err := compression.Undo(buffered)
	if err != nil {
		return nil, &runtime.TarError{Err: err}
	}
	return archive, nil
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
