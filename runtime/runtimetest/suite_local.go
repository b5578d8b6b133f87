package runtimetest

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"midge/runtime"
	"midge/runtime/archive"
)

// localArtifact is an artifact in a directory of this machine.
type localArtifact struct {
	dir  string
	held *atomic.Int64 // how many hold the directory
}

func newLocalArtifact(t *testing.T) localArtifact {
	t.Helper()
	artifact := localArtifact{t.TempDir(), new(atomic.Int64)}
	check(t, os.WriteFile(filepath.Join(artifact.dir, "file"), []byte("local"), 0o644))
	check(t, os.Mkdir(filepath.Join(artifact.dir, "dir"), 0o755))
	check(t, os.Symlink("file", filepath.Join(artifact.dir, "link")))
	return artifact
}

func (a localArtifact) Handle() string { return "sha256:0123456789abcdef" }

func (a localArtifact) StreamOut(ctx context.Context, path string) (io.ReadCloser, error) {
	r, w := io.Pipe()
	go func() { w.CloseWithError(archive.Write(ctx, w, a.dir, path)) }()
	return r, nil
}

func (a localArtifact) LocalPath(context.Context) (string, func(), error) {
	a.held.Add(1)
	return a.dir, func() { a.held.Add(-1) }, nil
}

var localTests = map[string]func(*suite, *testing.T){
	"Input": func(s *suite, t *testing.T) {
		artifact := newLocalArtifact(t)
		spec := s.spec()
		spec.Inputs = []runtime.Input{{Artifact: artifact, Path: "in"}, {Artifact: artifact, Path: "again"}}
		container, err := s.worker.FindOrCreateContainer(testContext(t), spec)
		check(t, err)
		destroyLater(t, container)
		equal(t, "the contents", runScript(t, container, "cat in/link again/file; ls in"), "locallocaldir\nfile\nlink\n")
		runScript(t, container, "echo changed > in/file; rm in/link; touch in/dir/new")
		equal(t, "what the other mount has", runScript(t, container, "cat again/link; ls again/dir"), "local")
		entries, err := os.ReadDir(filepath.Join(artifact.dir, "dir"))
		check(t, err)
		contents, err := os.ReadFile(filepath.Join(artifact.dir, "link"))
		check(t, err)
		equal(t, "what the directory has", string(contents), "local")
		equal(t, "what was made in it", len(entries), 0)
		mounted, err := container.Volume(testContext(t), "in")
		check(t, err)
		equal(t, "the volume", listing(streamOut(t, mounted, ".")), "dir dir 755\ndir/new 0 644 \"\"\nfile 0 644 \"changed\\n\"\n")
		check(t, container.Destroy(testContext(t)))
		equal(t, "how many hold the directory after Destroy", artifact.held.Load(), 0)
	},
	"NotHeldByAContainerThatFailed": func(s *suite, t *testing.T) {
		artifact := newLocalArtifact(t)
		spec := s.spec()
		spec.Inputs = []runtime.Input{{Artifact: artifact, Path: "in"}, {Artifact: fixedArtifact{handle: "broken", err: io.ErrUnexpectedEOF}, Path: "other"}}
		if _, err := s.worker.FindOrCreateContainer(testContext(t), spec); err == nil {
			t.Error("an input that cannot be read gave no error")
		}
		equal(t, "how many hold the directory", artifact.held.Load(), 0)
	},
	"VolumeStaysUntilReleased": func(s *suite, t *testing.T) {
		volume := s.volume(t)
		local, ok := volume.(runtime.Local)
		if !ok {
			// Its volumes are nowhere on this machine.
			return
		}
		check(t, volume.StreamIn(testContext(t), ".", tarOf(t, tarFile("file", 0o644, "held"))))
		dir, release, err := local.LocalPath(testContext(t))
		check(t, err)
		check(t, volume.Destroy(testContext(t)))
		contents, err := os.ReadFile(filepath.Join(dir, "file"))
		check(t, err)
		equal(t, "the contents after Destroy", string(contents), "held")
		release()
	},
}
