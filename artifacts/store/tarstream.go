package store

import (
	"context"
	"errors"
	"io"

	"midge/runtime"
)

// endWatcher tells whether a tar stream has the block of zeros at its end. The
// reader takes a stream that is cut between two entries, or in the padding behind
// one, for one that ends there.
type endWatcher struct {
	r     io.Reader
	zeros int // at the end of what was read
}

// tarBlock is the unit of a tar stream, in bytes.
const tarBlock = 512

func (w *endWatcher) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	zeros := 0
	for zeros < n && p[n-1-zeros] == 0 {
		zeros++
	}
	if zeros < n {
		w.zeros = 0
	}
	w.zeros += zeros
	return n, err
}

func (w *endWatcher) seen() bool { return w.zeros >= tarBlock }

// drain reads what follows the end of the archive: padding, and the checksum of a
// compressed stream that is not looked at before.
func drain(r io.Reader) error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return tarError("", err)
	}
	return nil
}

// tarError types an error of reading the stream, but those of the size limit.
func tarError(entry string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the stream is cut")
	}
	return &runtime.TarError{Entry: entry, Err: err}
}
