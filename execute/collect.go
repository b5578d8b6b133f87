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

// lostOutput tells of an output that the build has left and that is not home.
type lostOutput struct {
	output   Mapping
	artifact api.Artifact
	reason   error
}

func (e *lostOutput) Error() string {
	message := fmt.Sprintf("the output %q cannot be put into %s: %v", e.output.Name, e.output.Path, e.reason)
	if e.artifact.Digest == "" {
		return message
	}
	return fmt.Sprintf("%s; the server keeps it as artifact %d, for: midge artifacts pull %d DIRECTORY", message, e.artifact.ID, e.artifact.ID)
}

func (e *lostOutput) Unwrap() error { return e.reason }

// collect brings the selected outputs home, those that the build has left. A build
// that failed or was aborted early has not left them all, and that is no error. One
// that cannot be put where it belongs keeps no other away.
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
	lost := make([]error, len(e.selected.outputs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(transfersAtOnce)
	if _, _, share := sharing(e.selected.outputs); share {
		group.SetLimit(1) // each writes to a stage in its directory
	}
	for i, output := range e.selected.outputs {
		artifact, ok := byName[output.Name]
		if !ok {
			continue
		}
		group.Go(func() error {
			ctx, span := trace.StartSpan(ctx, "download "+output.Name, trace.Input(output.Name))
			received, err := e.receive(ctx, c, artifact, output, observe)
			span.Set(trace.Bytes(received.Receipt.FetchedCompressed), trace.Digest(artifact.Digest))
			span.End(err)
			switch here := (*lostOutput)(nil); {
			case errors.As(err, &here):
				lost[i] = err
			case err != nil:
				return err
			default:
				observe(received)
			}
			return nil
		})
	}
	return errors.Join(append(lost, group.Wait())...)
}

// receive makes a directory have what an artifact has. A server that knows the digests
// of its artifacts moves them by content.
func (e *Execution) receive(ctx context.Context, c *client.Client, artifact api.Artifact, output Mapping, observe func(Progress)) (Received, error) {
	received := Received{Output: output.Name, Directory: output.Path, Artifact: artifact}
	lost := func(reason error) error { return &lostOutput{output, artifact, reason} }
	if artifact.Digest == "" {
		wire, err := receiveArchive(ctx, c, artifact, output, observe)
		if err != nil {
			return Received{}, lost(err)
		}
		received.Receipt.FetchedCompressed = wire
		return received, nil
	}
	var err error
	received.Receipt, err = fetchTree(ctx, c, artifact, output.Path, DownloadOptions{e.request.Delete, e.request.CacheDir}, func(moved, total int64) {
		observe(Receiving{Output: output.Name, Bytes: moved, Total: total})
	}, lost)
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
