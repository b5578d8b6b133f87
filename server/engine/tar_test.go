package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"testing"

	"midge/runtime"
	"midge/runtime/runtimetest"
)

// file gives a tree that has one file.
func file(t testing.TB, name, content string) runtime.Artifact {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	volume, err := runtimetest.NewWorker(runtimetest.Config{}).CreateVolume(t.Context(), "upload")
	if err != nil {
		t.Fatal(err)
	}
	if err := volume.StreamIn(t.Context(), ".", &b); err != nil {
		t.Fatal(err)
	}
	return volume
}

// readFile gives the content of a file in a tree.
func readFile(t testing.TB, artifact runtime.Artifact, name string) string {
	t.Helper()
	stream, err := artifact.StreamOut(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	r := tar.NewReader(stream)
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
