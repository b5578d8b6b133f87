package runtimetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"

	"midge/runtime"
	"midge/runtime/archive"
	"midge/runtime/runtimetest/machine"
)

// volume is a tree with a handle.
type volume struct {
	worker    *Worker
	handle    string
	kind      string // artifact, container, cache
	container string
	path      string
	parent    string
	tree      *machine.Tree
}

// cacheHandle gives the handle of the volume that holds a cache's content.
func cacheHandle(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "cache-" + hex.EncodeToString(sum[:16])
}

func (v *volume) Handle() string { return v.handle }

// of gives the volume when it is that worker's.
func (v *volume) of(w *Worker) (*volume, bool) { return v, v.worker == w }

func (v *volume) info() runtime.VolumeInfo {
	return runtime.VolumeInfo{Handle: v.handle, Type: v.kind, ContainerHandle: v.container, Path: v.path, ParentHandle: v.parent}
}

func (v *volume) Info(ctx context.Context) (runtime.VolumeInfo, error) {
	if err := v.there(ctx); err != nil {
		return runtime.VolumeInfo{}, err
	}
	return v.info(), nil
}

// there tells, by its error, when the volume has been destroyed.
func (v *volume) there(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if found, ok := v.worker.lookupVolume(v.handle); !ok || found != v {
		return &runtime.NotFoundError{Kind: "volume", Name: v.handle}
	}
	return nil
}

func (v *volume) StreamOut(ctx context.Context, path string) (io.ReadCloser, error) {
	if err := v.there(ctx); err != nil {
		return nil, err
	}
	if err := v.worker.fail(StreamOut, v.handle); err != nil {
		return nil, err
	}
	// What is written meanwhile is in nobody's stream.
	return streamTree(ctx, v.tree.Copy(), path)
}

// streamTree gives what lies at path in a tree as a tar stream.
func streamTree(ctx context.Context, tree archive.Tree, path string) (io.ReadCloser, error) {
	if info, err := tree.Stat(path); err != nil || !info.IsDir() && !info.Mode().IsRegular() {
		return nil, &runtime.NotFoundError{Kind: "path", Name: path}
	}
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	go func() { w.CloseWithError(archive.WriteTree(ctx, w, tree, path)) }()
	context.AfterFunc(ctx, func() { w.CloseWithError(ctx.Err()) })
	return cancelledReader{r, cancel}, nil
}

// cancelledReader is a stream whose writer ends when it is closed.
type cancelledReader struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (s cancelledReader) Close() error {
	s.cancel()
	return s.PipeReader.Close()
}

func (v *volume) StreamIn(ctx context.Context, path string, tar io.Reader) error {
	if err := v.there(ctx); err != nil {
		return err
	}
	if err := v.worker.fail(StreamIn, v.handle); err != nil {
		return err
	}
	return archive.ExtractTree(ctx, tar, v.tree, archive.Options{Path: path})
}

func (v *volume) Destroy(context.Context) error {
	v.worker.forgetVolume(v)
	return nil
}
