package execute

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"

	"midge/api"
	"midge/client"
	"midge/runtime/archive"
)

// sendsAtOnce is how many inputs are on their way at the same time.
const sendsAtOnce = 4

// errNobodyReads tells who makes an archive that its request is over.
var errNobodyReads = errors.New("the request is over")

// sendInputs makes an artifact of each selected input, and gives their ids by name.
func (e *Execution) sendInputs(ctx context.Context, c *client.Client, info api.Info, observe func(Progress)) (map[string]int, error) {
	var mu sync.Mutex
	artifacts := map[string]int{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(sendsAtOnce)
	for _, input := range e.selected.inputs {
		group.Go(func() error {
			sent, err := e.sendArchive(ctx, c, info, input, observe)
			if err != nil {
				return err
			}
			mu.Lock()
			artifacts[input.Name] = sent.Artifact.ID
			mu.Unlock()
			observe(sent)
			return nil
		})
	}
	err := group.Wait()
	return artifacts, err
}

// sendArchive sends one input as one archive, as every server takes it.
func (e *Execution) sendArchive(ctx context.Context, c *client.Client, info api.Info, input Mapping, observe func(Progress)) (Sent, error) {
	files, err := listFiles(ctx, input.Path, e.request.IncludeIgnored)
	if err != nil {
		return Sent{}, fmt.Errorf("the input %q cannot be sent: %w", input.Name, err)
	}
	sent := Sent{Input: input.Name, Files: files.count, Bytes: files.bytes}
	observe(Sending{Input: input.Name, Total: files.bytes})

	// The archive is made while it is sent. Where making it fails, that is the error
	// that counts: the request only fails in consequence.
	pipe, archived := io.Pipe()
	made := make(chan error, 1)
	go func() {
		err := writeArchive(ctx, archived, info.Midge != nil, files, func(read int64) {
			observe(Sending{Input: input.Name, Bytes: read, Total: files.bytes})
		})
		archived.CloseWithError(err)
		made <- err
	}()
	wire := &countedReader{Reader: pipe}
	options := client.UploadOptions{Platform: e.config.Platform, Tags: e.request.Tags}
	sent.Artifact, err = c.UploadArtifact(ctx, wire, options)
	pipe.CloseWithError(errNobodyReads)
	if madeErr := <-made; madeErr != nil && !errors.Is(madeErr, errNobodyReads) && ctx.Err() == nil {
		return Sent{}, fmt.Errorf("the input %q cannot be sent: %w", input.Name, madeErr)
	}
	sent.Wire = wire.count
	return sent, err
}

// writeArchive writes a compressed tar archive of the files.
func writeArchive(ctx context.Context, w io.Writer, zstd bool, files fileList, read func(int64)) error {
	tree, err := archive.OpenTree(files.dir)
	if err != nil {
		return err
	}
	defer tree.Close()
	compressed, err := compressor(w, zstd)
	if err != nil {
		return err
	}
	selected := &selectedTree{Tree: tree, files: files, read: read}
	if err := archive.WriteTree(ctx, compressed, selected, "."); err != nil {
		return err
	}
	return compressed.Close()
}
