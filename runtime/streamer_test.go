package runtime_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"midge/runtime"
	"midge/runtime/archive"
	"midge/runtime/runtimetest"
)

// artifactOn makes a volume with a file on a worker.
func artifactOn(t *testing.T, worker runtime.Worker, handle, contents string) runtime.Volume {
	t.Helper()
	volume, err := worker.CreateVolume(t.Context(), handle)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, volume, contents)
	return volume
}

func fill(t *testing.T, volume runtime.Volume, contents string) {
	t.Helper()
	var stream bytes.Buffer
	w := tar.NewWriter(&stream)
	err := errors.Join(
		w.WriteHeader(&tar.Header{Name: "file", Mode: 0o644, Size: int64(len(contents))}),
		second(io.WriteString(w, contents)), w.Close(),
		volume.StreamIn(t.Context(), ".", &stream))
	if err != nil {
		t.Fatal(err)
	}
}

func second(_ int, err error) error { return err }

// contentsOf gives the contents of the file in an artifact.
func contentsOf(t *testing.T, artifact runtime.Artifact) string {
	t.Helper()
	stream, err := artifact.StreamOut(t.Context(), "file")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	r := tar.NewReader(stream)
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	contents, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(contents)
}

// streams counts the streams out of a worker.
type streams struct{ n atomic.Int64 }

func (s *streams) count(operation runtimetest.Operation, _ string) error {
	if operation == runtimetest.StreamOut {
		s.n.Add(1)
	}
	return nil
}

// on makes an artifact available, and lets go of it.
func on(t *testing.T, streamer *runtime.Streamer, worker runtime.Worker, artifact runtime.Artifact) runtime.Artifact {
	t.Helper()
	available, release, err := streamer.On(t.Context(), worker, artifact)
	if err != nil {
		t.Fatal(err)
	}
	release()
	return available
}

func wantVolumes(t *testing.T, worker runtime.Worker, want int) {
	t.Helper()
	volumes, err := worker.Volumes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(volumes) != want {
		t.Errorf("worker %s has the volumes %+v, want %d", worker.Name(), volumes, want)
	}
}

func TestStreamerLeavesOwnArtifacts(t *testing.T) {
	worker := runtimetest.NewWorker(runtimetest.Config{})
	artifact := artifactOn(t, worker, "artifact", "x")
	if got := on(t, runtime.NewStreamer(), worker, artifact); got != artifact {
		t.Errorf("it gave %v", got)
	}
	wantVolumes(t, worker, 1)
}

// localTree is an artifact in a directory of this machine.
type localTree struct{ dir string }

func (l localTree) Handle() string { return "sha256:local" }

func (l localTree) StreamOut(ctx context.Context, path string) (io.ReadCloser, error) {
	r, w := io.Pipe()
	go func() { w.CloseWithError(archive.Write(ctx, w, l.dir, path)) }()
	return r, nil
}

func (l localTree) LocalPath(context.Context) (string, func(), error) { return l.dir, func() {}, nil }

func TestStreamerLeavesLocalArtifacts(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("local"), 0o644); err != nil {
		t.Fatal(err)
	}
	artifact := localTree{dir}
	here := runtimetest.NewWorker(runtimetest.Config{Name: "here"})
	if got := on(t, runtime.NewStreamer(), here, artifact); got != artifact {
		t.Errorf("on this machine it gave %v", got)
	}
	wantVolumes(t, here, 0)
	remote := runtimetest.NewWorker(runtimetest.Config{Name: "remote", Remote: true})
	got := on(t, runtime.NewStreamer(), remote, artifact)
	if got.Handle() != runtime.CopyHandle(artifact.Handle()) || contentsOf(t, got) != "local" {
		t.Errorf("on a remote worker it gave %q", got.Handle())
	}
}

func TestStreamerCopiesOnce(t *testing.T) {
	var counted streams
	source := runtimetest.NewWorker(runtimetest.Config{Name: "source", Fail: counted.count})
	target := runtimetest.NewWorker(runtimetest.Config{Name: "target"})
	artifact := artifactOn(t, source, "artifact", "contents")
	streamer := runtime.NewStreamer()
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if got := contentsOf(t, on(t, streamer, target, artifact)); got != "contents" {
				t.Errorf("the copy has %q", got)
			}
		})
	}
	all.Wait()
	// Neither a later one nor a server that was started anew copies again.
	on(t, streamer, target, artifact)
	on(t, runtime.NewStreamer(), target, artifact)
	if n := counted.n.Load(); n != 1 {
		t.Errorf("it was streamed %d times", n)
	}
	container, err := target.FindOrCreateContainer(t.Context(), runtime.ContainerSpec{
		Handle: "container", Dir: "/build", Image: runtime.ImageSpec{Host: true},
		Inputs: []runtime.Input{{Artifact: on(t, streamer, target, artifact), Path: "in"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	process, err := container.Run(t.Context(), runtime.ProcessSpec{ID: "task", Path: "sh", Args: []string{"-c", "[ $(cat in/file) = contents ]"}})
	if err != nil {
		t.Fatal(err)
	}
	if status, err := process.Wait(t.Context()); err != nil || status.Code != 0 {
		t.Errorf("a task that mounts the copy gave %+v, %v", status, err)
	}
}

func TestStreamerBetweenWorkers(t *testing.T) {
	for _, test := range []struct {
		name         string
		source, goal bool // whether they are on the network
		fail         error
		straight     int // streams from worker to worker
	}{
		{"both", true, true, nil, 1},
		{"source only", true, false, nil, 0},
		{"target only", false, true, nil, 0},
		{"neither", false, false, nil, 0},
		{"cut", true, true, errors.New("no route to host"), 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			network := &runtimetest.Network{Fail: func(string) error { return test.fail }}
			connected := func(name string, on bool) *runtimetest.Worker {
				config := runtimetest.Config{Name: name}
				if on {
					config.Network = network
				}
				return runtimetest.NewWorker(config)
			}
			source, target := connected("source", test.source), connected("target", test.goal)
			artifact := artifactOn(t, source, "artifact", "contents")
			found, err := source.LookupVolume(t.Context(), "artifact")
			if err != nil {
				t.Fatal(err)
			}
			for _, artifact := range []runtime.Artifact{artifact, found} {
				if got := contentsOf(t, on(t, runtime.NewStreamer(), target, artifact)); got != "contents" {
					t.Errorf("the copy has %q", got)
				}
			}
			if got := network.Streams(); got != test.straight {
				t.Errorf("%d streams went from worker to worker, want %d", got, test.straight)
			}
			wantVolumes(t, target, 2)
		})
	}
}

func TestStreamerFailure(t *testing.T) {
	for _, operation := range []runtimetest.Operation{runtimetest.StreamOut, runtimetest.StreamIn, runtimetest.CreateVolume} {
		t.Run(string(operation), func(t *testing.T) {
			broken := errors.New("no space left on device")
			fail := func(asked runtimetest.Operation, handle string) error {
				if asked == operation && handle != "other" {
					return broken
				}
				return nil
			}
			enabled := false
			config := runtimetest.Config{Fail: func(asked runtimetest.Operation, handle string) error {
				if !enabled {
					return nil
				}
				return fail(asked, handle)
			}}
			config.Name = "source"
			source := runtimetest.NewWorker(config)
			config.Name = "target"
			target := runtimetest.NewWorker(config)
			artifact := artifactOn(t, source, "artifact", "contents")
			streamer := runtime.NewStreamer()
			enabled = true
			if _, _, err := streamer.On(t.Context(), target, artifact); !errors.Is(err, broken) {
				t.Errorf("the error is %v, want %v", err, broken)
			}
			wantVolumes(t, target, 0)
			enabled = false
			if got := contentsOf(t, on(t, streamer, target, artifact)); got != "contents" {
				t.Errorf("afterwards the copy has %q", got)
			}
		})
	}
}

// TestStreamerAfterACrash finds copies that a server which was killed has not finished.
func TestStreamerAfterACrash(t *testing.T) {
	source := runtimetest.NewWorker(runtimetest.Config{Name: "source"})
	target := runtimetest.NewWorker(runtimetest.Config{Name: "target"})
	artifact := artifactOn(t, source, "artifact", "contents")
	half := artifactOn(t, target, runtime.CopyHandle("artifact"), "cont")
	if got := contentsOf(t, on(t, runtime.NewStreamer(), target, artifact)); got != "contents" {
		t.Errorf("of a copy that was not whole it made %q", got)
	}
	if _, err := half.Info(t.Context()); err == nil {
		t.Error("the copy that was not whole is still there")
	}
	// The copy was lost, and what says that it is whole was not.
	whole, err := target.LookupVolume(t.Context(), runtime.CopyHandle("artifact"))
	if err != nil {
		t.Fatal(err)
	}
	if err := whole.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := contentsOf(t, on(t, runtime.NewStreamer(), target, artifact)); got != "contents" {
		t.Errorf("of a copy that was lost it made %q", got)
	}
}

// slowArtifact is an artifact whose stream begins when it is let, and tells when
// it was asked for and when that has ended.
type slowArtifact struct {
	runtime.Artifact
	asked, ended, let chan struct{}
}

func (a slowArtifact) StreamOut(ctx context.Context, path string) (io.ReadCloser, error) {
	a.asked <- struct{}{}
	select {
	case <-a.let:
		return a.Artifact.StreamOut(ctx, path)
	case <-ctx.Done():
		a.ended <- struct{}{}
		return nil, ctx.Err()
	}
}

func TestStreamerCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := runtimetest.NewWorker(runtimetest.Config{Name: "source"})
		target := runtimetest.NewWorker(runtimetest.Config{Name: "target"})
		slow := slowArtifact{artifactOn(t, source, "artifact", "contents"), make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{})}
		streamer := runtime.NewStreamer()
		ask := func(ctx context.Context) chan error {
			answer := make(chan error, 1)
			go func() {
				_, release, err := streamer.On(ctx, target, slow)
				if err == nil {
					release()
				}
				answer <- err
			}()
			synctest.Wait()
			return answer
		}
		ctx, cancel := context.WithCancel(t.Context())
		first := ask(ctx)
		<-slow.asked
		other, cancelOther := context.WithCancel(t.Context())
		second := ask(other)
		// The one who began leaves, and the copy is made all the same.
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("who left got %v", err)
		}
		select {
		case <-slow.ended:
			t.Fatal("the stream ended with the first who wanted it")
		default:
		}
		// All leave, and it ends.
		cancelOther()
		if err := <-second; !errors.Is(err, context.Canceled) {
			t.Errorf("who left got %v", err)
		}
		<-slow.ended
		third := ask(t.Context())
		<-slow.asked
		close(slow.let)
		if err := <-third; err != nil {
			t.Errorf("who came after all had left got %v", err)
		}
	})
}

func TestStreamerCollect(t *testing.T) {
	source := runtimetest.NewWorker(runtimetest.Config{Name: "source"})
	target := runtimetest.NewWorker(runtimetest.Config{Name: "target"})
	streamer := runtime.NewStreamer()
	var artifacts []runtime.Artifact
	for i := range 4 {
		artifacts = append(artifacts, artifactOn(t, source, fmt.Sprintf("artifact-%d", i), "contents"))
	}
	artifactOn(t, target, "own", "x")
	for _, artifact := range artifacts[1:] {
		on(t, streamer, target, artifact)
	}
	_, release, err := streamer.On(t.Context(), target, artifacts[0])
	if err != nil {
		t.Fatal(err)
	}
	collect := func(want int, used ...string) {
		t.Helper()
		if n, err := streamer.Collect(t.Context(), target, used); err != nil || n != want {
			t.Errorf("it destroyed %d copies (%v), want %d", n, err, want)
		}
	}
	collect(2, "artifact-1")
	wantVolumes(t, target, 1+2*2)
	collect(0, "artifact-1")
	release()
	release()
	collect(1, "artifact-1")
	collect(1)
	wantVolumes(t, target, 1)
	// What was collected is copied again.
	if got := contentsOf(t, on(t, streamer, target, artifacts[2])); got != "contents" {
		t.Errorf("the copy has %q", got)
	}
}

// TestStreamerCollectMeanwhile has copies destroyed while others ask for them.
func TestStreamerCollectMeanwhile(t *testing.T) {
	source := runtimetest.NewWorker(runtimetest.Config{Name: "source"})
	target := runtimetest.NewWorker(runtimetest.Config{Name: "target"})
	artifact := artifactOn(t, source, "artifact", "contents")
	streamer := runtime.NewStreamer()
	stop := make(chan struct{})
	var collecting, all sync.WaitGroup
	collecting.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := streamer.Collect(t.Context(), target, nil); err != nil {
				t.Error(err)
			}
		}
	})
	for range 8 {
		all.Go(func() {
			for range 50 {
				copied, release, err := streamer.On(t.Context(), target, artifact)
				if err != nil {
					t.Error(err)
					return
				}
				if got := contentsOf(t, copied); got != "contents" {
					t.Errorf("the copy has %q", got)
				}
				release()
			}
		})
	}
	all.Wait()
	close(stop)
	collecting.Wait()
}
