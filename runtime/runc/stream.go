package runc

import (
	"bufio"
	"context"
	"errors"
	"io"
	"sync"

	"midge/runtime"
	"midge/runtime/archive"
)

// streamOut gives what lies at path in a directory as a tar stream. done is called
// once, when the directory is no longer needed.
func streamOut(ctx context.Context, dir, path string, done func()) (io.ReadCloser, error) {
	tree, err := archive.OpenTree(dir)
	if err != nil {
		done()
		return nil, err
	}
	return streamTree(ctx, tree, path, done)
}

// streamTree does it for a tree, which is its own.
func streamTree(ctx context.Context, tree archive.Tree, path string, done func()) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	reader, writer := io.Pipe()
	s := &tarStream{PipeReader: reader, cancel: cancel, ended: make(chan struct{})}
	began := &signalWriter{Writer: writer, first: make(chan struct{})}
	var err error
	go func() {
		defer close(s.ended)
		defer done()
		defer tree.Close()
		buffered := bufio.NewWriterSize(began, 64<<10)
		err = archive.WriteTree(ctx, buffered, tree, path)
		if err == nil {
			err = buffered.Flush()
		}
		writer.CloseWithError(err)
	}()
	// A path that is not there is told now, and not to who reads.
	select {
	case <-began.first:
		return s, nil
	case <-s.ended:
		if err != nil {
			cancel()
			return nil, err
		}
		return s, nil
	}
}

// A tarStream is a stream that ends what writes it when it is closed.
type tarStream struct {
	*io.PipeReader
	cancel context.CancelFunc
	ended  chan struct{}
}

func (s *tarStream) Close() error {
	s.cancel()
	err := s.PipeReader.Close()
	<-s.ended
	return err
}

// A signalWriter closes first when something is written.
type signalWriter struct {
	io.Writer
	once  sync.Once
	first chan struct{}
}

func (w *signalWriter) Write(p []byte) (int, error) {
	w.once.Do(func() { close(w.first) })
	return w.Writer.Write(p)
}

// copyArtifact copies all of an artifact into a directory.
func copyArtifact(ctx context.Context, artifact runtime.Artifact, dir string) error {
	stream, err := artifact.StreamOut(ctx, ".")
	if err != nil {
		return err
	}
	return errors.Join(archive.Extract(ctx, stream, dir, archive.Options{}), stream.Close())
}

// extract unpacks a stream at path in a directory. owner, if not nil, has what is written
// belong to the root of its containers.
func extract(ctx context.Context, stream io.Reader, dir, path string, owner *userNamespace) error {
	// The way to the directory is root's alone.
	tree, err := archive.OpenTree(dir)
	if err != nil {
		return err
	}
	defer tree.Close()
	unpack := func() error { return archive.ExtractTree(ctx, stream, tree, archive.Options{Path: path}) }
	if owner == nil {
		return unpack()
	}
	return owner.asRoot(unpack)
}
