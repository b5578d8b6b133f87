package execute

import (
	"context"
	"errors"
	"fmt"
	"io"

	"midge/artifacts/transfer"
	"midge/client"
	"midge/runtime/archive"
)

// errNobodyReads tells who makes an archive that its request is over.
var errNobodyReads = errors.New("the request is over")

// archive sends one input as one archive, to a server that takes nothing else.
func (s *sending) archive(ctx context.Context, input source) (Sent, error) {
	request := input.options(s.execution.request.UploadOptions)
	whole := input.what() + " cannot be sent"
	files, err := listFiles(ctx, input.path, request.IncludeIgnored, request.IncludeGit)
	if err != nil {
		return Sent{}, fmt.Errorf("%s: %w", whole, err)
	}
	receipt := transfer.Receipt{Files: int64(files.count), Bytes: files.bytes, SentFiles: int64(files.count), SentBytes: files.bytes}
	receipt.Ignore(files.ignored)
	sent := Sent{Input: input.name, Receipt: receipt}
	if request.DryRun {
		return sent, nil
	}
	if err := request.confirm(input.what(), &receipt); err != nil {
		return Sent{}, err
	}
	s.observe(Sending{Input: input.name, Total: files.bytes})

	// The archive is made while it is sent. Where making it fails, that is the error
	// that counts: the request only fails in consequence.
	pipe, archived := io.Pipe()
	made := make(chan error, 1)
	go func() {
		err := writeArchive(ctx, archived, files, func(read int64) {
			s.observe(Sending{Input: input.name, Files: receipt.Files, Bytes: read, Total: files.bytes})
		})
		archived.CloseWithError(err)
		made <- err
	}()
	wire := &countedReader{Reader: pipe}
	options := client.UploadOptions{Platform: s.execution.config.Platform, Tags: s.execution.request.Tags}
	sent.Artifact, err = s.client.UploadArtifact(ctx, wire, options)
	pipe.CloseWithError(errNobodyReads)
	if madeErr := <-made; madeErr != nil && !errors.Is(madeErr, errNobodyReads) && ctx.Err() == nil {
		return Sent{}, fmt.Errorf("%s: %w", whole, madeErr)
	}
	sent.Receipt.SentCompressed = wire.count
	return sent, err
}

// writeArchive writes a compressed tar archive of the files.
func writeArchive(ctx context.Context, w io.Writer, files *fileList, read func(int64)) error {
	tree, err := archive.OpenTree(files.dir)
	if err != nil {
		return err
	}
	defer tree.Close()
	compressed, err := compressor(w)
	if err != nil {
		return err
	}
	selected := &selectedTree{Tree: tree, files: files, read: read}
	if err := archive.WriteTree(ctx, compressed, selected, "."); err != nil {
		return err
	}
	return compressed.Close()
}
