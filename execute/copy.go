package execute

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"midge/api"
	"midge/artifacts/transfer"
	"midge/client"
)

// Copy copies files into a container or out of it. Directories are copied with all that
// is in them, and as cp copies them: into the other directory when that is there, else to
// be that; what ends in /. is copied for what is in it. Only what the other end lacks is
// sent, so that one that was broken off goes on where it was.
type Copy struct {
	Handle string // the container's
	Path   string // in it: absolute, or relative to its working directory
	Local  string // an absolute path here, with what was given at its end
	// Name is what errors and progress call the container's side.
	Name string
	// CacheDir is as in UploadOptions.
	CacheDir string
}

// Out copies from the container. A server that is a Concourse gives ErrNoTrees.
func (o Copy) Out(ctx context.Context, c *client.Client, observe func(Progress)) (Received, error) {
	if err := checkTrees(ctx, c); err != nil {
		return Received{}, err
	}
	file, err := c.StatFile(ctx, o.Handle, o.Path)
	if err != nil {
		return Received{}, err
	}
	if file.Type == api.FileOther {
		return Received{}, fmt.Errorf("%s is a device, a socket or a named pipe, which cannot be copied", o.Name)
	}
	target, err := o.localTarget(file)
	if err != nil {
		return Received{}, err
	}
	tree, err := c.TakeFiles(ctx, o.Handle, o.Path)
	if err != nil {
		return Received{}, err
	}
	received := Received{Output: o.Name, Directory: target, Artifact: tree}
	fetch := func(dir string) error {
		received.Receipt, err = fetchTree(ctx, c, tree, dir, DownloadOptions{CacheDir: o.CacheDir}, func(moved, total int64) {
			observe(Receiving{Output: o.Name, Bytes: moved, Total: total})
		}, func(reason error) error { return fmt.Errorf("%s cannot be copied to %s: %w", o.Name, target, reason) })
		if conflict := (*transfer.ConflictError)(nil); errors.As(err, &conflict) {
			return fmt.Errorf("%s is a directory here and none in %s: move it away", filepath.Join(target, conflict.Path), o.Name)
		}
		return err
	}
	if file.Type == api.FileDirectory {
		return received, fetch(target)
	}
	return received, moveFetched(target, path.Base(o.Path), tree.Digest, fetch)
}

// moveFetched fetches a tree with one file beside target, and then moves the file there.
// What is fetched so far when it breaks off is found by the next attempt.
func moveFetched(target, name, digest string, fetch func(dir string) error) error {
	beside := filepath.Join(filepath.Dir(target), ".midge-cp-"+digest[:16])
	if err := fetch(beside); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(beside, name), target); err != nil {
		return err
	}
	return os.RemoveAll(beside)
}

// localTarget gives where a file or directory of the container goes.
func (o Copy) localTarget(file api.File) (string, error) {
	info, err := os.Stat(o.Local)
	isDir := file.Type == api.FileDirectory
	switch {
	case errors.Is(err, fs.ErrNotExist) && !isDir && endsInSlash(o.Local):
		return "", fmt.Errorf("there is no directory %s to copy a file to", o.Local)
	case errors.Is(err, fs.ErrNotExist):
		return filepath.Clean(o.Local), checkParent(o.Local)
	case err != nil:
		return "", err
	case !info.IsDir() && isDir:
		return "", fmt.Errorf("%s is a file, and %s is a directory", o.Local, o.Name)
	case !info.IsDir() || isDir && isContents(o.Path):
		return filepath.Clean(o.Local), nil
	}
	target := filepath.Join(o.Local, path.Base(o.Path))
	if info, err := os.Stat(target); err == nil && info.IsDir() != isDir {
		return "", fmt.Errorf("%s is there already, and only one of it and %s is a directory: move it away", target, o.Name)
	}
	return target, nil
}

func checkParent(local string) error {
	parent := filepath.Dir(filepath.Clean(local))
	if info, err := os.Stat(parent); err != nil || !info.IsDir() {
		return fmt.Errorf("there is no directory %s to copy to", parent)
	}
	return nil
}

func endsInSlash(name string) bool {
	return strings.HasSuffix(name, "/") || strings.HasSuffix(name, string(filepath.Separator))
}

// isContents tells whether a directory is named for what is in it.
func isContents(name string) bool {
	return path.Clean("/"+name) == "/" || name == "." || strings.HasSuffix(filepath.ToSlash(name), "/.")
}

// In copies into the container. A server that is a Concourse gives ErrNoTrees.
func (o Copy) In(ctx context.Context, c *client.Client, observe func(Progress)) (Sent, error) {
	if err := checkTrees(ctx, c); err != nil {
		return Sent{}, err
	}
	contents := isContents(o.Local)
	// A link that is named stands for what it leads to.
	local, err := filepath.EvalSymlinks(o.Local)
	if errors.Is(err, fs.ErrNotExist) {
		return Sent{}, fmt.Errorf("there is no file or directory %s to copy", o.Local)
	}
	if err != nil {
		return Sent{}, err
	}
	info, err := os.Stat(local)
	if err != nil {
		return Sent{}, err
	}
	if !info.IsDir() && !info.Mode().IsRegular() {
		return Sent{}, fmt.Errorf("%s is a device, a socket or a named pipe, which cannot be copied", o.Local)
	}
	query, err := o.remoteTarget(ctx, c, info.IsDir(), contents)
	if err != nil {
		return Sent{}, err
	}
	options := transfer.SendOptions{IncludeIgnored: true, IncludeGit: true, CacheDir: o.CacheDir, Query: query}
	if !info.IsDir() {
		options.Only, options.CacheDir = filepath.Base(local), ""
		local = filepath.Dir(local)
	}
	options.Progress = &meter{tell: func(files, moved, total int64) {
		observe(Sending{Input: o.Name, Files: files, Bytes: moved, Total: total})
	}}
	ctx, remote, cancel := withTrees(ctx, c, readyNow)
	defer cancel(nil)
	remote.URL = c.FilesURL(o.Handle)
	sent := Sent{Input: o.Name}
	if sent.Receipt, _, err = transfer.Send(ctx, remote, local, options); err != nil {
		return Sent{}, transferError(ctx, func(reason error) error {
			return fmt.Errorf("%s cannot be copied to %s: %w", o.Local, o.Name, reason)
		}, err)
	}
	sent.Receipt.IgnoredBy = nil // what lies beside a file
	return sent, nil
}

// remoteTarget gives the query that says where in the container it goes.
func (o Copy) remoteTarget(ctx context.Context, c *client.Client, isDir, contents bool) (url.Values, error) {
	name := path.Base(filepath.ToSlash(filepath.Clean(o.Local)))
	there, err := c.StatFile(ctx, o.Handle, o.Path)
	missing := (*client.NotFoundError)(nil)
	switch {
	case errors.As(err, &missing) && !isDir && endsInSlash(o.Path):
		return nil, fmt.Errorf("there is no directory %s to copy a file to", o.Name)
	case errors.As(err, &missing) && isDir:
		return url.Values{"path": {o.Path}}, nil
	case errors.As(err, &missing):
	case err != nil:
		return nil, err
	case there.Type != api.FileDirectory && isDir:
		return nil, fmt.Errorf("%s is a file, and %s is a directory", o.Name, o.Local)
	case there.Type == api.FileDirectory && isDir && contents:
		return url.Values{"path": {o.Path}}, nil
	case there.Type == api.FileDirectory && isDir:
		return url.Values{"path": {path.Join(o.Path, name)}}, nil
	case there.Type == api.FileDirectory:
		return url.Values{"path": {o.Path}, "as": {name}}, nil
	}
	return url.Values{"path": {path.Dir(o.Path)}, "as": {path.Base(o.Path)}}, nil
}
