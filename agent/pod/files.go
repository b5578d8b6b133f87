package pod

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"midge/agent"
	"midge/api"
	"midge/runtime/archive"
)

// openFiles gives the container's tree, and the absolute path in it that a request
// names: one that is relative is so to the working directory.
func (s *server) openFiles(r *http.Request) (archive.Tree, string, error) {
	name := r.FormValue("path")
	if !path.IsAbs(name) {
		config, err := agent.ReadConfig(filepath.Join(s.dir, runDir))
		if err != nil {
			return nil, "", err
		}
		name = path.Join(config.WorkingDir, name)
	}
	root, err := os.Open("/")
	if err != nil {
		return nil, "", err
	}
	return archive.RootTree(root), path.Clean(name), nil
}

func (s *server) listFiles(r *http.Request) (any, error) {
	tree, name, err := s.openFiles(r)
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	return archive.List(tree, name)
}

func (s *server) statFile(r *http.Request) (any, error) {
	tree, name, err := s.openFiles(r)
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	return archive.Stat(tree, name)
}

func (s *server) filesOut(w http.ResponseWriter, r *http.Request) {
	tree, name, err := s.openFiles(r)
	if err != nil {
		writeFailure(w, err)
		return
	}
	defer tree.Close()
	writeTree(w, r, tree, name)
}

func (s *server) filesIn(r *http.Request) (any, error) {
	tree, name, err := s.openFiles(r)
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	unpack := func() error {
		return readTree(r, tree, archive.Options{Path: strings.TrimPrefix(name, "/"), KeepTop: true})
	}
	if os.Geteuid() != 0 { // what is made is this user's in any case
		return nil, unpack()
	}
	uid, gid, err := archive.OwnerAbove(tree, name)
	if err != nil {
		return nil, err
	}
	return nil, agent.As(uid, gid, unpack)
}

// ListFiles describes what a directory of the container has, or what else lies at path, alone.
func (c *Client) ListFiles(ctx context.Context, path string) ([]api.File, error) {
	return call[[]api.File](ctx, c, http.MethodGet, filesPath("/list", path), nil)
}

// StatFile describes what lies at path in the container.
func (c *Client) StatFile(ctx context.Context, path string) (api.File, error) {
	return call[api.File](ctx, c, http.MethodGet, filesPath("/stat", path), nil)
}

// FilesOut gives what lies at path in the container, as an uncompressed tar stream.
func (c *Client) FilesOut(ctx context.Context, path string) (io.ReadCloser, error) {
	return c.streamOut(ctx, filesPath("", path))
}

// FilesIn unpacks an uncompressed tar stream in the container's directory at path, as
// StreamIn does in a volume.
func (c *Client) FilesIn(ctx context.Context, path string, tar io.Reader) error {
	return c.streamIn(ctx, filesPath("", path), tar)
}

func filesPath(what, path string) string { return "/files" + what + "?path=" + url.QueryEscape(path) }
