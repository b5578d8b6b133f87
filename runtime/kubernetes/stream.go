package kubernetes

import (
	"bufio"
	"context"
	"io"
	"sync"

	"midge/runtime/archive"
)

// streamOut gives what lies at path in a tree as a tar stream. release is called once,
// when the tree is no longer needed.
func streamOut(ctx context.Context, tree archive.Tree, path string, release func()) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	reader, writer := io.Pipe()
	s := &treeStream{PipeReader: reader, cancel: cancel, began: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		defer release()
		buffered := bufio.NewWriterSize(s.beginning(writer), 64<<10)
		if s.err = archive.WriteTree(ctx, buffered, tree, path); s.err == nil {
			s.err = buffered.Flush()
		}
		writer.CloseWithError(s.err)
	}()
	// A path that is not there is told now, and not to who reads.
	select {
	case <-s.began:
		return s, nil
	case <-s.ended:
		if s.err != nil {
			cancel()
			return nil, s.err
		}
		return s, nil
	}
}

// A treeStream ends what writes it when it is closed.
type treeStream struct {
	*io.PipeReader
	cancel context.CancelFunc
	once   sync.Once
	began  chan struct{} // closed when something is written
	ended  chan struct{} // closed when err is there
	err    error
}

func (s *treeStream) Close() error {
	s.cancel()
	err := s.PipeReader.Close()
	<-s.ended
	return err
}

// beginning gives a writer that closes began.
func (s *treeStream) beginning(w io.Writer) io.Writer {
	return writerFunc(func(p []byte) (int, error) {
		s.once.Do(func() { close(s.began) })
		return w.Write(p)
	})
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
