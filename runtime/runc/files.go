package runc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"midge/agent"
	"midge/api"
	"midge/runtime"
	"midge/runtime/archive"
)

// files are the files of a container.
type files struct{ container *container }

// Files implements runtime.Container.
func (c *container) Files() runtime.Files { return files{c} }

func (f files) List(ctx context.Context, path string) ([]api.File, error) {
	tree, name, err := f.open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	all, err := archive.List(tree, name)
	if err != nil {
		return nil, err
	}
	for i := range all {
		f.ownInside(&all[i])
	}
	return all, nil
}

func (f files) Stat(ctx context.Context, path string) (api.File, error) {
	tree, name, err := f.open(ctx, path)
	if err != nil {
		return api.File{}, err
	}
	defer tree.Close()
	file, err := archive.Stat(tree, name)
	f.ownInside(&file)
	return file, err
}

// ownInside makes a file's owner whom the container knows.
func (f files) ownInside(file *api.File) {
	file.UID = f.container.worker.users.uids.inside(file.UID)
	file.GID = f.container.worker.users.gids.inside(file.GID)
}

func (f files) StreamOut(ctx context.Context, path string) (io.ReadCloser, error) {
	tree, name, err := f.open(ctx, path)
	if err != nil {
		return nil, err
	}
	return streamTree(ctx, tree, name, func() {})
}

func (f files) StreamIn(ctx context.Context, path string, tar io.Reader) error {
	tree, name, err := f.open(ctx, path)
	if err != nil {
		return err
	}
	defer tree.Close()
	uid, gid, err := archive.OwnerAbove(tree, name)
	if err != nil {
		return err
	}
	return agent.As(uid, gid, func() error {
		return archive.ExtractTree(ctx, tar, tree, archive.Options{Path: strings.TrimPrefix(name, "/"), KeepTop: true})
	})
}

// open gives the container's tree, and the absolute path in it that path means.
func (f files) open(ctx context.Context, path string) (archive.Tree, string, error) {
	root, err := f.container.root(ctx)
	if err != nil {
		return nil, "", err
	}
	if !filepath.IsAbs(path) {
		config, err := agent.ReadConfig(f.container.dir)
		if err != nil {
			root.Close()
			return nil, "", err
		}
		path = filepath.Join(config.WorkingDir, path)
	}
	return archive.RootTree(root), filepath.Clean(path), nil
}

// root opens the container's root directory. A container that is down is brought up
// again: what is mounted in it is there then.
func (c *container) root(ctx context.Context) (*os.File, error) {
	for {
		root, err := c.client.Root(ctx)
		if err == nil {
			return root, nil
		}
		if !down(err) {
			return nil, c.explain(err)
		}
		if err := c.revive(ctx); err != nil {
			return nil, fmt.Errorf("start container %s again: %w", c.handle, err)
		}
	}
}

// down tells whether err says that a container has no supervisor, or one that ends.
func down(err error) bool {
	refused := (*agent.Error)(nil)
	return errors.Is(err, agent.ErrDown) || errors.As(err, &refused) && refused.Kind == agent.ErrorGone
}
