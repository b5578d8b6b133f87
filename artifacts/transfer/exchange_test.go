package transfer

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"midge/artifacts/store"
	"midge/runtime"
)

// A tree serves its own objects, and no other of its team.
func TestObjectsOfOneTree(t *testing.T) {
	s, remote := serve(t, store.Options{})
	dir, other := sample(t), t.TempDir()
	lay(t, other, map[string]string{"secret": "of another build", "large": string(bytesOf(3, 6<<20))})
	digest := sendOK(t, remote, dir, SendOptions{}).Digest
	others := sendOK(t, remote, other, SendOptions{}).Digest
	tree, err := s.Tree(t.Context(), "main", digest)
	must(t, err)
	server := httptest.NewServer(tree.Objects())
	defer server.Close()
	alone := &Remote{Client: server.Client(), URL: server.URL}
	to := t.TempDir()
	_, err = Fetch(t.Context(), alone, digest, to, FetchOptions{})
	must(t, err)
	compareDirs(t, to, dir)
	_, err = Fetch(t.Context(), alone, others, t.TempDir(), FetchOptions{})
	var refused *ServerError
	if !errors.As(err, &refused) || refused.Status != http.StatusNotFound {
		t.Errorf("another tree gave %v", err)
	}
	if _, _, err := Send(t.Context(), alone, other, SendOptions{}); !errors.As(err, &refused) || refused.Status != http.StatusNotFound {
		t.Errorf("sending gave %v", err)
	}
}

// elsewhere is a directory of another machine.
type elsewhere string

func (d elsewhere) Handle() string { return filepath.Base(string(d)) }

func (elsewhere) StreamOut(context.Context, string) (io.ReadCloser, error) {
	return nil, errors.New("it is not streamed")
}

func (d elsewhere) Send(ctx context.Context, to http.Handler) (string, error) {
	server := httptest.NewServer(to)
	defer server.Close()
	receipt, _, err := Send(ctx, &Remote{Client: server.Client(), URL: server.URL}, string(d), SendOptions{IncludeIgnored: true, IncludeGit: true})
	return receipt.Digest, err
}

func TestIngestOfWhatSendsItself(t *testing.T) {
	s, _ := serve(t, store.Options{})
	dir := sample(t)
	var from runtime.Artifact = elsewhere(dir)
	digest, files, bytes, err := s.Ingest(t.Context(), "main", from)
	must(t, err)
	if files != 51 || bytes == 0 {
		t.Errorf("%d files of %d bytes", files, bytes)
	}
	checkStored(t, s, digest, dir)
}
