package execute

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sync/errgroup"

	"midge/api"
	"midge/client"
	"midge/runtime/archive"
)

// collect brings the selected outputs home, those that the build has left. A build
// that failed or was aborted early has not left them all, and that is no error.
func (e *Execution) collect(ctx context.Context, c *client.Client, build int, observe func(Progress)) error {
	if len(e.selected.outputs) == 0 {
		return nil
	}
	artifacts, err := c.BuildArtifacts(ctx, build)
	if err != nil {
		return err
	}
	byName := map[string]api.Artifact{}
	for _, artifact := range artifacts {
		byName[artifact.Name] = artifact
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(sendsAtOnce)
	for _, output := range e.selected.outputs {
		artifact, ok := byName[output.Name]
		if !ok {
			continue
		}
		group.Go(func() error {
			received, err := receiveArchive(ctx, c, artifact, output, observe)
			if err != nil {
				return fmt.Errorf("the output %q cannot be put into %s: %w", output.Name, output.Path, err)
			}
			observe(received)
			return nil
		})
	}
	return group.Wait()
}

// receiveArchive unpacks an artifact into a directory, which is made if it is not there.
func receiveArchive(ctx context.Context, c *client.Client, artifact api.Artifact, output Mapping, observe func(Progress)) (Received, error) {
	if err := os.MkdirAll(output.Path, 0o777); err != nil {
		return Received{}, err
	}
	body, err := c.DownloadArtifact(ctx, artifact.ID)
	if err != nil {
		return Received{}, err
	}
	defer body.Close()
	wire := &countedReader{Reader: body, tell: func(count int64) {
		observe(Receiving{Output: output.Name, Bytes: count})
	}}
	plain, err := decompressor(wire)
	if err != nil {
		return Received{}, errors.Join(context.Cause(ctx), err)
	}
	defer plain.Close()
	if err := archive.Extract(ctx, plain, output.Path, archive.Options{DropSetID: true}); err != nil {
		return Received{}, err
	}
	return Received{Output: output.Name, Directory: output.Path, Artifact: artifact, Wire: wire.count}, nil
}
