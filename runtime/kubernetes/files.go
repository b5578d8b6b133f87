package kubernetes

import (
	"context"
	"fmt"
	"io"

	"midge/api"
	"midge/runtime"
)

// files are the files of a container: what its first process sees.
type files struct{ container *container }

// Files implements runtime.Container.
func (c *container) Files() runtime.Files { return files{c} }

func (f files) Stat(ctx context.Context, path string) (api.File, error) {
	file, err := f.container.client.StatFile(ctx, path)
	return file, f.container.explainTree(err)
}

func (f files) List(ctx context.Context, path string) ([]api.File, error) {
	all, err := f.container.client.ListFiles(ctx, path)
	return all, f.container.explainTree(err)
}

func (f files) StreamOut(ctx context.Context, path string) (io.ReadCloser, error) {
	stream, err := f.container.client.FilesOut(ctx, path)
	if err != nil {
		return nil, f.container.explainTree(err)
	}
	return stream, nil
}

func (f files) StreamIn(ctx context.Context, path string, tar io.Reader) error {
	return f.container.explainTree(f.container.client.FilesIn(ctx, path, tar))
}

// Changes is refused: nobody but the node has what the image's files were.
func (f files) Changes(ctx context.Context) ([]api.FileChange, error) {
	if _, err := f.container.worker.findPod(ctx, f.container.handle); err != nil {
		return nil, err
	}
	return nil, &runtime.SpecError{Message: fmt.Sprintf(
		"what changed in container %s is not known: it is a pod of the cluster %s, whose nodes alone have its image", f.container.handle, f.container.worker.Name())}
}
