package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	corev1 "k8s.io/api/core/v1"

	"midge/runtime"
	"midge/runtime/archive"
)

// CreateVolume implements runtime.Worker.
func (w *Worker) CreateVolume(_ context.Context, handle string) (runtime.Volume, error) {
	if !validHandle(handle) {
		return nil, &runtime.SpecError{Message: fmt.Sprintf("%q is no handle of a volume: it is 1 to 64 of a-z, 0-9 and '-'", handle)}
	}
	dir, err := w.volumes.make("")
	if err != nil {
		return nil, err
	}
	if err := w.volumes.add(handle, dir); err != nil {
		if errors.Is(err, fs.ErrExist) {
			err = fmt.Errorf("volume %q exists already", handle)
		}
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &storedVolume{store: w.volumes, info: runtime.VolumeInfo{Handle: handle, Type: "artifact"}}, nil
}

// LookupVolume implements runtime.Worker.
func (w *Worker) LookupVolume(ctx context.Context, handle string) (runtime.Volume, error) {
	notFound := &runtime.NotFoundError{Kind: "volume", Name: handle}
	if len(handle) > 128 || handle == "" || !validHandle(handle[:min(len(handle), 64)]) {
		return nil, notFound
	}
	for _, v := range []runtime.Volume{
		&storedVolume{store: w.volumes, info: runtime.VolumeInfo{Handle: handle, Type: "artifact"}},
		w.cacheVolume(handle),
	} {
		_, err := v.Info(ctx)
		if missing := (*runtime.NotFoundError)(nil); !errors.As(err, &missing) {
			return v, err
		}
	}
	pods, err := w.pods(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range pods {
		c, err := w.container(&p)
		if err != nil {
			return nil, err
		}
		for number, v := range c.volumes {
			if v.Handle == handle {
				return &podVolume{container: c, number: number, volume: v}, nil
			}
		}
	}
	return nil, notFound
}

// Volumes implements runtime.Worker.
func (w *Worker) Volumes(ctx context.Context) ([]runtime.VolumeInfo, error) {
	pods, err := w.pods(ctx)
	if err != nil {
		return nil, err
	}
	return w.volumesOf(pods)
}

// volumesOf lists the volumes of pods, and those that are of none.
func (w *Worker) volumesOf(pods []corev1.Pod) ([]runtime.VolumeInfo, error) {
	var all []runtime.VolumeInfo
	handles, err := w.volumes.names()
	if err != nil {
		return nil, err
	}
	for _, handle := range handles {
		all = append(all, runtime.VolumeInfo{Handle: handle, Type: "artifact"})
	}
	for _, p := range pods {
		var volumes []volume
		if err := json.Unmarshal([]byte(p.Annotations[annotationVolumes]), &volumes); err != nil {
			return nil, fmt.Errorf("pod %s does not say what its volumes are: %w", p.Name, err)
		}
		for _, v := range volumes {
			if v.Kind != workVolume {
				all = append(all, v.info(p.Annotations[annotationContainer]))
			}
		}
	}
	caches, err := w.listCaches()
	return append(all, caches...), err
}

func (v volume) info(container string) runtime.VolumeInfo {
	return runtime.VolumeInfo{
		Handle:          v.Handle,
		Type:            "container",
		ContainerHandle: container,
		Path:            v.Target,
		ParentHandle:    v.Parent,
	}
}

// A podVolume is a directory of a pod.
type podVolume struct {
	container *container
	number    int
	volume    volume
}

func (v *podVolume) Handle() string { return v.volume.Handle }

func (v *podVolume) StreamOut(ctx context.Context, path string) (io.ReadCloser, error) {
	stream, err := v.container.client.StreamOut(ctx, v.number, path)
	if err != nil {
		return nil, v.container.explainTree(err)
	}
	return stream, nil
}

func (v *podVolume) StreamIn(ctx context.Context, path string, tar io.Reader) error {
	return v.container.explainTree(v.container.client.StreamIn(ctx, v.number, path, tar))
}

func (v *podVolume) Info(ctx context.Context) (runtime.VolumeInfo, error) {
	if _, err := v.container.worker.findPod(ctx, v.container.handle); err != nil {
		return runtime.VolumeInfo{}, err
	}
	return v.volume.info(v.container.handle), nil
}

func (v *podVolume) Destroy(context.Context) error {
	return fmt.Errorf("volume %s is mounted in container %s, and goes with it", v.volume.Handle, v.container.handle)
}

// explainTree gives errors about a tree as they are, and others as explain does.
func (c *container) explainTree(err error) error {
	refused, missing := (*runtime.TarError)(nil), (*runtime.NotFoundError)(nil)
	if err == nil || errors.As(err, &refused) || errors.As(err, &missing) {
		return err
	}
	return c.explain(err)
}

// A storedVolume is a directory of a store.
type storedVolume struct {
	store *store
	info  runtime.VolumeInfo
}

func (v *storedVolume) Handle() string { return v.info.Handle }

// open opens the volume's tree until release is called.
func (v *storedVolume) open() (tree archive.Tree, release func(), err error) {
	tree, release, err = v.store.tree(v.info.Handle)
	if errors.Is(err, fs.ErrNotExist) {
		err = &runtime.NotFoundError{Kind: "volume", Name: v.info.Handle}
	}
	return tree, release, err
}

func (v *storedVolume) StreamOut(ctx context.Context, path string) (io.ReadCloser, error) {
	tree, release, err := v.open()
	if err != nil {
		return nil, err
	}
	return streamOut(ctx, tree, path, release)
}

func (v *storedVolume) StreamIn(ctx context.Context, path string, tar io.Reader) error {
	if v.info.Type == "cache" {
		return errKeptCache(v.info.Handle)
	}
	tree, release, err := v.open()
	if err != nil {
		return err
	}
	defer release()
	return archive.ExtractTree(ctx, tar, tree, archive.Options{Path: path})
}

func (v *storedVolume) Info(context.Context) (runtime.VolumeInfo, error) {
	if _, err := v.store.key(v.info.Handle); errors.Is(err, fs.ErrNotExist) {
		return runtime.VolumeInfo{}, &runtime.NotFoundError{Kind: "volume", Name: v.info.Handle}
	} else if err != nil {
		return runtime.VolumeInfo{}, err
	}
	return v.info, nil
}

func (v *storedVolume) Destroy(context.Context) error {
	_, err := v.store.remove(v.info.Handle)
	return err
}
