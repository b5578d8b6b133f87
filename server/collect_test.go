package server

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"midge/api"
	"midge/runtime"
)

func TestCollectRemovesWhatNoArtifactIsMadeOf(t *testing.T) {
	config := testConfig(shortDir(t))
	config.UploadGrace = time.Nanosecond
	s := mustNew(t, config)
	ctx := t.Context()
	kept, forgotten := ingestFile(t, s, "kept"), ingestFile(t, s, "forgotten")
	if _, err := s.database.CreateArtifact(ctx, "main", api.Artifact{Digest: kept}); err != nil {
		t.Fatal(err)
	}
	s.collect(ctx)
	if _, err := s.artifacts.Open(ctx, "main", kept); err != nil {
		t.Errorf("an artifact is gone: %v", err)
	}
	if _, err := s.artifacts.Open(ctx, "main", forgotten); !errors.As(err, new(*runtime.NotFoundError)) {
		t.Errorf("what no artifact is made of is still there (%v)", err)
	}
}

// ingestFile stores a tree of one file with that content.
func ingestFile(t *testing.T, s *Server, content string) (digest string) {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: "file", Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	digest, _, _, err := s.artifacts.IngestTar(t.Context(), "main", &archive)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}
