package transfer

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"midge/artifacts/store"
)

// serveDirectory serves a directory, and gives its digest.
func serveDirectory(t *testing.T, dir string) (remote *Remote, digest string) {
	t.Helper()
	d, err := OpenDirectory(t.Context(), dir)
	must(t, err)
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	return &Remote{Client: server.Client(), URL: server.URL, Attempts: 1}, d.Digest()
}

func TestDirectoryIsServed(t *testing.T) {
	dir := sample(t)
	remote, digest := serveDirectory(t, dir)
	to := t.TempDir()
	options := FetchOptions{Delete: true, Objects: t.TempDir()}
	_, err := Fetch(t.Context(), remote, digest, to, options)
	must(t, err)
	compareDirs(t, to, dir)

	// Of a tree that differs only that is fetched.
	lay(t, dir, map[string]string{"sub/c": "other"})
	setDirTimes(t, dir)
	remote, digest = serveDirectory(t, dir)
	receipt, err := Fetch(t.Context(), remote, digest, to, options)
	must(t, err)
	compareDirs(t, to, dir)
	if receipt.FetchedCompressed == 0 || receipt.FetchedCompressed > 2000 {
		t.Errorf("one file that changed takes %d bytes", receipt.FetchedCompressed)
	}
}

func TestDirectoryThatHasChanged(t *testing.T) {
	dir := sample(t)
	remote, digest := serveDirectory(t, dir)
	must(t, os.WriteFile(filepath.Join(dir, "sub/c"), []byte("x"), 0o644))
	if _, err := Fetch(t.Context(), remote, digest, t.TempDir(), FetchOptions{}); err == nil {
		t.Error("a file that has changed was fetched")
	}
}

func TestDirectoryServesItsOwn(t *testing.T) {
	dir, other := sample(t), t.TempDir()
	lay(t, other, map[string]string{"secret": "of another build"})
	remote, _ := serveDirectory(t, dir)
	_, digest := serveDirectory(t, other)
	_, err := Fetch(t.Context(), remote, digest, t.TempDir(), FetchOptions{})
	if refused := (*ServerError)(nil); !errors.As(err, &refused) || refused.Status != http.StatusUnprocessableEntity {
		t.Errorf("what is not in the directory gave %v", err)
	}
	if _, _, err := Send(t.Context(), remote, other, SendOptions{}); err == nil {
		t.Error("it takes what is sent")
	}
}

// What was sent is there for a fetch, which then asks nobody.
func TestSendKeepsObjects(t *testing.T) {
	_, remote := serve(t, store.Options{})
	dir, objects, to := sample(t), t.TempDir(), t.TempDir()
	digest := sendOK(t, remote, dir, SendOptions{Objects: objects}).Digest
	nobody := &Remote{Client: http.DefaultClient, URL: "http://127.0.0.1:1", Attempts: 1}
	_, err := Fetch(t.Context(), nobody, digest, to, FetchOptions{Objects: objects})
	must(t, err)
	compareDirs(t, to, dir)
	// One that was damaged is kept anew.
	files := objectFiles(t, objects)
	must(t, os.Truncate(files[0], 0))
	sendOK(t, remote, dir, SendOptions{Objects: objects})
	if info, err := os.Stat(files[0]); err != nil || info.Size() == 0 {
		t.Errorf("the object that was damaged: %v, %v", info, err)
	}
}
