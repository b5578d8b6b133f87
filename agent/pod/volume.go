package pod

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"

	"midge/runtime"
	"midge/runtime/archive"
)

// volume gives the directory of a request's volume.
func (s *server) volume(r *http.Request) (dir string, err error) {
	number, err := strconv.ParseUint(r.PathValue("number"), 10, 16)
	if err != nil {
		return "", err
	}
	dir = filepath.Join(s.dir, VolumeDir(int(number)))
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return "", &runtime.NotFoundError{Kind: "volume", Name: r.PathValue("number")}
	}
	return dir, nil
}

// streamOut answers with a tree as a compressed tar stream.
func (s *server) streamOut(w http.ResponseWriter, r *http.Request) {
	dir, err := s.volume(r)
	if err != nil {
		writeFailure(w, err)
		return
	}
	tree, err := archive.OpenTree(dir)
	if err != nil {
		writeFailure(w, err)
		return
	}
	defer tree.Close()
	writeTree(w, r, tree, r.FormValue("path"))
}

// writeTree answers with what lies at a path in a tree.
func writeTree(w http.ResponseWriter, r *http.Request, tree archive.Tree, path string) {
	began := &beginning{Writer: w}
	compressed, err := zstd.NewWriter(began, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		writeFailure(w, err)
		return
	}
	defer compressed.Close()
	buffered := bufio.NewWriterSize(compressed, 64<<10)
	err = archive.WriteTree(r.Context(), buffered, tree, path)
	if err == nil {
		err = errors.Join(buffered.Flush(), compressed.Close())
	}
	switch {
	case err == nil:
	case began.written:
		panic(http.ErrAbortHandler) // so that it is no whole stream
	default:
		compressed.Reset(io.Discard)
		writeFailure(w, err)
	}
}

// A beginning knows whether something was written.
type beginning struct {
	io.Writer
	written bool
}

func (b *beginning) Write(p []byte) (int, error) {
	b.written = true
	return b.Writer.Write(p)
}

// streamIn unpacks a compressed tar stream.
func (s *server) streamIn(r *http.Request) (any, error) {
	dir, err := s.volume(r)
	if err != nil {
		return nil, err
	}
	tree, err := archive.OpenTree(dir)
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	return nil, readTree(r, mountedTree{tree}, archive.Options{Path: r.FormValue("path")})
}

// readTree unpacks what a request sends in a tree.
func readTree(r *http.Request, tree archive.Tree, options archive.Options) error {
	stream, err := zstd.NewReader(r.Body, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return err
	}
	defer stream.Close()
	return archive.ExtractTree(r.Context(), stream, tree, options)
}

// A mountedTree is a tree whose top need not be its writer's: the directory was made
// by the init container, which may be somebody else.
type mountedTree struct{ archive.Tree }

func (t mountedTree) Chmod(name string, mode fs.FileMode) error {
	return passTop(name, t.Tree.Chmod(name, mode))
}

func (t mountedTree) Chtimes(name string, modified time.Time) error {
	return passTop(name, t.Tree.Chtimes(name, modified))
}

func passTop(name string, err error) error {
	if filepath.Clean(name) == "." && errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}

// StreamOut gives what lies at path in the volume of that number, as an uncompressed tar stream.
func (c *Client) StreamOut(ctx context.Context, number int, path string) (io.ReadCloser, error) {
	return c.streamOut(ctx, volumePath(number, path))
}

func (c *Client) streamOut(ctx context.Context, from string) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	response, err := c.request(ctx, http.MethodGet, from, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	stream, err := zstd.NewReader(response.Body, zstd.WithDecoderConcurrency(1))
	if err != nil {
		cancel()
		return nil, errors.Join(err, response.Body.Close())
	}
	return &decompressed{ctx: ctx, cancel: cancel, stream: stream, body: response.Body}, nil
}

// A decompressed is a stream that ends the request that it is the answer to.
type decompressed struct {
	ctx    context.Context
	cancel context.CancelFunc
	stream *zstd.Decoder
	body   io.Closer
}

func (d *decompressed) Read(p []byte) (int, error) {
	if d.ctx.Err() != nil {
		return 0, d.ctx.Err()
	}
	return d.stream.Read(p)
}

func (d *decompressed) Close() error {
	d.cancel()
	err := d.body.Close()
	d.stream.Close()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return err
}

// StreamIn unpacks an uncompressed tar stream at path in the volume of that number.
// A stream that was cut on its way is a *CutError: it has to be sent from its start.
func (c *Client) StreamIn(ctx context.Context, number int, path string, tar io.Reader) error {
	return c.streamIn(ctx, volumePath(number, path), tar)
}

func (c *Client) streamIn(ctx context.Context, to string, tar io.Reader) error {
	source := &source{Reader: tar}
	sent := false
	response, err := c.request(ctx, http.MethodPost, to, func() (io.Reader, error) {
		if sent {
			return nil, &CutError{}
		}
		sent = true
		return compress(source), nil
	})
	if err != nil {
		// What the stream itself failed with is why.
		if failed := source.failed.Load(); failed != nil {
			return fmt.Errorf("read the stream to be unpacked: %w", *failed)
		}
		return err
	}
	return response.Body.Close()
}

// A CutError tells that the connection was cut while a stream went over it.
type CutError struct{}

func (*CutError) Error() string { return "the connection to the pod was cut while files were sent" }

// A source is a stream that knows what it failed with.
type source struct {
	io.Reader
	failed atomic.Pointer[error]
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.failed.Store(&err)
	}
	return n, err
}

// compress gives a stream compressed. It ends when the reader is closed.
func compress(stream io.Reader) io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		w.CloseWithError(writeCompressed(w, func(compressed io.Writer) error {
			_, err := io.Copy(compressed, stream)
			return err
		}))
	}()
	return r
}

// writeCompressed has what write writes arrive compressed. What it fails with leaves a
// stream that is not whole.
func writeCompressed(w io.Writer, write func(io.Writer) error) error {
	compressed, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	if err := write(compressed); err != nil {
		return err
	}
	return compressed.Close()
}

func volumePath(number int, path string) string {
	return fmt.Sprintf("/volumes/%d?path=%s", number, url.QueryEscape(path))
}
