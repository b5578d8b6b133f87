package execute

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"midge/api"
	"midge/artifacts/transfer"
	"midge/client"
)

// Push makes an artifact of a directory. A server that is a Concourse gives ErrNoTrees.
func Push(ctx context.Context, c *client.Client, dir string, options UploadOptions, observe func(Progress)) (Sent, error) {
	upload := upload{
		UploadOptions: options,
		what:          "the directory " + dir,
		name:          filepath.Base(dir),
		dir:           dir,
	}
	switch info, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return Sent{}, fmt.Errorf("there is no directory %s to send", dir)
	case err == nil && !info.IsDir():
		return Sent{}, fmt.Errorf("%s is a file, and an artifact is a directory", dir)
	}
	if err := checkTrees(ctx, c); err != nil {
		return Sent{}, err
	}
	return upload.send(ctx, c, readyNow, oneAtATime(observe))
}

// readyNow is for a server that is known to take trees.
func readyNow() error { return nil }

// checkTrees gives ErrNoTrees unless the server moves trees by content.
func checkTrees(ctx context.Context, c *client.Client) error {
	info, err := c.Info(ctx)
	if err == nil && !info.Offers(api.FeatureArtifacts) {
		return ErrNoTrees
	}
	return err
}

// DownloadOptions says how directories get what artifacts have.
type DownloadOptions struct {
	// Delete removes what the artifact does not have.
	Delete bool
	// CacheDir is as in UploadOptions.
	CacheDir string
}

// Pull makes a directory have what an artifact has. A server that is a Concourse gives ErrNoTrees.
func Pull(ctx context.Context, c *client.Client, id int, dir string, options DownloadOptions, observe func(Progress)) (Received, error) {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return Received{}, fmt.Errorf("artifact %d cannot be put into %s: it is a file", id, dir)
	}
	if err := checkTrees(ctx, c); err != nil {
		return Received{}, err
	}
	artifact, err := c.Artifact(ctx, id)
	if err != nil {
		return Received{}, err
	}
	observe = oneAtATime(observe)
	name := fmt.Sprintf("artifact %d", id)
	received := Received{Output: name, Directory: dir, Artifact: artifact}
	received.Receipt, err = fetchTree(ctx, c, artifact, dir, options, func(moved, total int64) {
		observe(Receiving{Output: name, Bytes: moved, Total: total})
	}, func(reason error) error { return fmt.Errorf("artifact %d cannot be put into %s: %w", id, dir, reason) })
	return received, err
}

// fetchTree makes a directory have what an artifact has; whole says what cannot be done
// when that fails, and why.
func fetchTree(ctx context.Context, c *client.Client, artifact api.Artifact, dir string, options DownloadOptions, tell func(moved, total int64), whole func(reason error) error) (transfer.FetchReceipt, error) {
	ctx, remote, cancel := withTrees(ctx, c, readyNow)
	defer cancel(nil)
	receipt, err := transfer.Fetch(ctx, remote, artifact.Digest, dir, transfer.FetchOptions{
		Delete:   options.Delete,
		CacheDir: options.CacheDir,
		Progress: &meter{tell: func(_, moved, total int64) { tell(moved, total) }},
	})
	if err != nil {
		return receipt, transferError(ctx, whole, err)
	}
	return receipt, nil
}
