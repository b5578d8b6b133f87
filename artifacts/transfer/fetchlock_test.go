package transfer

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"midge/artifacts/store"
)

// While one Fetch writes to a directory another waits, also when it calls the
// directory by another name, and then finishes what it came for.
func TestTwoFetchesIntoOneDirectory(t *testing.T) {
	_, remote := serve(t, store.Options{})
	first, second := sample(t), t.TempDir()
	lay(t, second, map[string]string{"a": "other\n", "sub/c": "d", "more": string(bytesOf(7, 200_000))})
	setDirTimes(t, second)
	firstDigest := sendOK(t, remote, first, SendOptions{}).Digest
	secondDigest := sendOK(t, remote, second, SendOptions{}).Digest

	to := t.TempDir()
	options := FetchOptions{CacheDir: t.TempDir(), Delete: true}
	alias := filepath.Join(t.TempDir(), "alias")
	must(t, os.Symlink(to, alias))
	begun, proceed := make(chan struct{}), make(chan struct{})
	r := record(remote)
	r.spoil = func(n int, _ *http.Request) error {
		if n == 1 {
			close(begun)
			<-proceed
		}
		return nil
	}
	ended := make(chan error, 2)
	go func() {
		_, err := Fetch(t.Context(), remote, firstDigest, to, options)
		ended <- err
	}()
	<-begun
	// Who gives up waiting has changed nothing.
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Fetch(cancelled, remote, secondDigest, alias, options); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	go func() {
		_, err := Fetch(t.Context(), remote, secondDigest, alias, options)
		ended <- err
	}()
	close(proceed)
	must(t, <-ended)
	must(t, <-ended)
	compareDirs(t, to, second)
}
