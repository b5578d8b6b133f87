package server

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"midge/api"
	"midge/server/state"
)

// Every data dir in testdata/released was written by a server that was released, and
// holds the same history: a build that succeeded, with an input and an output, one
// that failed, one that was aborted, and an artifact that was pushed.
func TestReleasedDataDirs(t *testing.T) {
	archives, err := filepath.Glob("testdata/released/*.tar.gz")
	if err != nil || len(archives) == 0 {
		t.Fatalf("there are no data dirs of released servers (%v)", err)
	}
	for _, archive := range archives {
		t.Run(filepath.Base(archive), func(t *testing.T) {
			config := testConfig(shortDir(t))
			unpackDataDir(t, archive, config.DataDir)
			s := mustNew(t, config)
			checkReleasedBuilds(t, s)
			checkReleasedArtifacts(t, s)
		})
	}
}

func unpackDataDir(t *testing.T, archive, dir string) {
	t.Helper()
	file, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	compressed, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	for entries := tar.NewReader(compressed); ; {
		header, err := entries.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, header.Name)
		if header.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o700)
		} else {
			var content []byte
			if content, err = io.ReadAll(entries); err == nil {
				err = os.WriteFile(path, content, 0o600)
			}
		}
		// Not the mode that the umask leaves of it.
		if err := errors.Join(err, os.Chmod(path, header.FileInfo().Mode())); err != nil {
			t.Fatal(err)
		}
	}
}

func checkReleasedBuilds(t *testing.T, s *Server) {
	t.Helper()
	ctx := t.Context()
	for i, want := range []api.BuildStatus{api.StatusSucceeded, api.StatusFailed, api.StatusAborted} {
		build, err := s.database.Build(ctx, i+1)
		if err != nil {
			t.Fatal(err)
		}
		if build.Status != want || build.EndTime == 0 || build.TeamName != "main" {
			t.Errorf("build %d is %+v, want %s", i+1, build.Build, want)
		}
		if steps, err := s.database.Steps(ctx, build.ID); err != nil || len(steps) == 0 {
			t.Errorf("build %d has the steps %v (%v)", build.ID, steps, err)
		}
		log, err := s.logs.Open(build.ID)
		if err != nil {
			t.Fatal(err)
		}
		if !log.Ended() || log.Next() < 3 {
			t.Errorf("the log of build %d has %d events", build.ID, log.Next())
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}
	counts, err := s.database.CountBuilds(ctx)
	if err != nil || len(counts) != 3 {
		t.Errorf("the builds are counted as %v (%v)", counts, err)
	}
}

func checkReleasedArtifacts(t *testing.T, s *Server) {
	t.Helper()
	ctx := t.Context()
	verified, err := s.artifacts.Verify(ctx, s.database.ArtifactDigests)
	if err != nil || len(verified.Problems) != 0 || verified.Trees == 0 {
		t.Errorf("the artifacts are %+v (%v)", verified, err)
	}
	// The output of build 1 goes with it; its input was a client's and stays.
	if _, err := s.engine.Collect(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := s.database.RemoveBuilds(ctx, 1, time.Now()); err != nil {
		t.Fatal(err)
	}
	missing := (*state.NotFoundError)(nil)
	if _, err := s.database.Artifact(ctx, 2); !errors.As(err, &missing) {
		t.Errorf("the output of a build that was removed is still there (%v)", err)
	}
	for _, id := range []int{1, 3} {
		if _, err := s.database.Artifact(ctx, id); err != nil {
			t.Error(err)
		}
	}
}
