package execute

import (
	"bytes"
	"compress/gzip"
	"io"
	"testing"
)

// Whatever a server sends as a compressed archive ends, and takes bounded memory.
func FuzzDecompressor(f *testing.F) {
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	if _, err := io.WriteString(w, "hello"); err != nil {
		f.Fatal(err)
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	for _, archive := range [][]byte{zipped.Bytes(), zipped.Bytes()[:9], gzipMagic, zstdMagic, {}, []byte("hello")} {
		f.Add(archive)
	}
	f.Fuzz(func(t *testing.T, archive []byte) {
		reader, err := decompressor(bytes.NewReader(archive))
		if err != nil {
			return
		}
		defer reader.Close()
		// An error is as good as an end; to panic or to hang is neither.
		_, _ = io.Copy(io.Discard, io.LimitReader(reader, 64<<20))
	})
}
