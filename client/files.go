package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"midge/api"
	"midge/terminal"
)

// ErrFileChanged tells that a file was changed while it was read.
var ErrFileChanged = errors.New("it changed while it was read: read it again")

// filesRequest is a request about a path in a container of the client's team. Only a
// midge answers it.
func (c *Client) filesRequest(method, handle, what, path string) request {
	elements := []any{"containers", handle, "files"}
	if what != "" {
		elements = append(elements, what)
	}
	r := request{method: method, path: c.teamPath(elements...), again: true, about: fmt.Sprintf("container %s", terminal.Line(handle))}
	if path != "" {
		r.query = url.Values{"path": {path}}
	}
	return r
}

// StatFile describes what lies at a path of a container, a link followed.
func (c *Client) StatFile(ctx context.Context, handle, path string) (api.File, error) {
	var file api.File
	err := c.call(ctx, c.filesRequest(http.MethodGet, handle, "stat", path), &file)
	return file, err
}

// ListFiles describes what a directory of a container has, or the file at the path.
func (c *Client) ListFiles(ctx context.Context, handle, path string) ([]api.File, error) {
	var files []api.File
	err := c.call(ctx, c.filesRequest(http.MethodGet, handle, "", path), &files)
	return files, err
}

// FileChanges gives what a container has changed of what it was given.
func (c *Client) FileChanges(ctx context.Context, handle string) ([]api.FileChange, error) {
	var changes []api.FileChange
	err := c.call(ctx, c.filesRequest(http.MethodGet, handle, "changes", ""), &changes)
	return changes, err
}

// TakeFiles has the server make a tree of what lies at a path of a container, to be
// fetched by its digest. It is no artifact, and has no id.
func (c *Client) TakeFiles(ctx context.Context, handle, path string) (api.Artifact, error) {
	r := c.filesRequest(http.MethodPost, handle, "", path)
	var tree api.Artifact
	err := c.persist(ctx, r, func(ctx context.Context) error {
		// It takes as long as the server needs to read what is there.
		response, err := c.send(ctx, r)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		return c.decode(ctx, response, &tree)
	})
	return tree, err
}

// FilesURL is where trees are sent into a container, as Exchange takes it.
func (c *Client) FilesURL(handle string) string {
	return c.base.String() + c.teamPath("containers", handle, "files")
}

// CatFile writes the content of a file of a container to w. What a connection loses
// comes over the next, from the byte after the last; a file that has changed by then is
// ErrFileChanged.
func (c *Client) CatFile(ctx context.Context, handle, path string, w io.Writer) error {
	r := c.filesRequest(http.MethodGet, handle, "content", path)
	r.header = http.Header{}
	var written int64
	var tag string
	return c.persist(ctx, r, func(ctx context.Context) error {
		if written > 0 {
			r.header.Set("Range", fmt.Sprintf("bytes=%d-", written))
			r.header.Set("If-Range", tag)
		}
		response, err := c.send(ctx, r)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if written > 0 && response.StatusCode != http.StatusPartialContent {
			return fmt.Errorf("read %s: %w", terminal.Line(path), ErrFileChanged)
		}
		tag = response.Header.Get("ETag")
		n, err := io.Copy(writerAlone{w}, response.Body)
		written += n
		var failed *writeError
		if err == nil || errors.As(err, &failed) {
			return err
		}
		return c.transportError(ctx, err, false)
	})
}

// writerAlone marks the errors of a writer.
type writerAlone struct{ w io.Writer }

func (w writerAlone) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	if err != nil {
		err = &writeError{err}
	}
	return n, err
}

// writeError is an error of who reads, and not of the connection.
type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }
