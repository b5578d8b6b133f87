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
	"midge/trace"
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
	group.SetLimit(transfersAtOnce)
	for _, output := range e.selected.outputs {
		artifact, ok := byName[output.Name]
		if !ok {
			continue
		}
		group.Go(func() error {
			ctx, span := trace.StartSpan(ctx, "download "+output.Name, trace.Input(output.Name))
			received, err := e.receive(ctx, c, artifact, output, observe)
			span.Set(trace.Bytes(received.Receipt.FetchedCompressed), trace.Digest(artifact.Digest))
			span.End(err)
			if err != nil {
				return err
			}
			observe(received)
			return nil
		})
	}
	return group.Wait()
}

// receive makes a directory have what an artifact has. A server that knows the digests
// of its artifacts moves them by content.
func (e *Execution) receive(ctx context.Context, c *client.Client, artifact api.Artifact, output Mapping, observe func(Progress)) (Received, error) {
	received := Received{Output: output.Name, Directory: output.Path, Artifact: artifact}
	whole := fmt.Sprintf("the output %q cannot be put into %s", output.Name, output.Path)
	if artifact.Digest == "" {
		wire, err := receiveArchive(ctx, c, artifact, output, observe)
		if err != nil {
			return Received{}, fmt.Errorf("%s: %w", whole, err)
		}
		received.Receipt.FetchedCompressed = wire
		return received, nil
	}
	var err error
	received.Receipt, err = fetchTree(ctx, c, artifact, output.Path, DownloadOptions{e.request.Delete, e.request.CacheDir}, func(moved, total int64) {
		observe(Receiving{Output: output.Name, Bytes: moved, Total: total})
	}, whole)
	return received, err
}

// receiveArchive unpacks an artifact into a directory, which is made if it is not there.
// It gives how many bytes came over the wire.
func receiveArchive(ctx context.Context, c *client.Client, artifact api.Artifact, output Mapping, observe func(Progress)) (int64, error) {
	if err := os.MkdirAll(output.Path, 0o777); err != nil {
		return 0, err
	}
	body, err := c.DownloadArtifact(ctx, artifact.ID)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	wire := &countedReader{Reader: body, tell: func(count int64) {
		observe(Receiving{Output: output.Name, Bytes: count})
	}}
	plain, err := decompressor(wire)
	if err != nil {
		return 0, errors.Join(context.Cause(ctx), err)
	}
	defer plain.Close()
	err = archive.Extract(ctx, plain, output.Path, archive.Options{DropSetID: true})
	return wire.count, err
}
