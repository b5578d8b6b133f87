package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"midge/artifacts/store"
)

func TestFetch(t *testing.T) {
	_, remote := serve(t, store.Options{})
	r := record(remote)
	dir := sample(t)
	digest := sendOK(t, remote, dir, SendOptions{}).Digest
	to := filepath.Join(t.TempDir(), "to")
	options := FetchOptions{CacheDir: t.TempDir()}
	receipt, err := Fetch(t.Context(), remote, digest, to, options)
	must(t, err)
	compareDirs(t, to, dir)
	if receipt.Files != 51 || receipt.FetchedFiles != 48 || receipt.FetchedBytes != receipt.Bytes-2 {
		t.Errorf("receipt %+v", receipt)
	}
	a, err := os.Stat(filepath.Join(to, "a"))
	must(t, err)
	z, err := os.Stat(filepath.Join(to, "z"))
	must(t, err)
	if !os.SameFile(a, z) {
		t.Error("a and z are not the same file")
	}

	r.reset()
	receipt, err = Fetch(t.Context(), remote, digest, to, options)
	must(t, err)
	if len(r.paths) != 0 || receipt.FetchedBytes != 0 {
		t.Errorf("nothing to do takes the requests %q and fetches %d bytes", r.paths, receipt.FetchedBytes)
	}
}

func TestFetchGetsWhatDiffers(t *testing.T) {
	_, remote := serve(t, store.Options{})
	r := record(remote)
	dir := sample(t)
	old := sendOK(t, remote, dir, SendOptions{}).Digest
	to := t.TempDir()
	options := FetchOptions{CacheDir: t.TempDir()}
	_, err := Fetch(t.Context(), remote, old, to, options)
	must(t, err)

	large := bytesOf(1, 6<<20)
	copy(large[3<<20:], "changed")
	lay(t, dir, map[string]string{"large": string(large), "sub/c": "other", "moved/again": string(bytesOf(2, 300_000)), "link2/x": "x"})
	must(t, os.RemoveAll(filepath.Join(dir, "link")))
	must(t, os.MkdirAll(filepath.Join(dir, "link"), 0o755))
	must(t, os.RemoveAll(filepath.Join(dir, "hollow")))
	must(t, os.Symlink("nowhere", filepath.Join(dir, "hollow")))
	must(t, os.Remove(filepath.Join(dir, "b")))
	setDirTimes(t, dir)
	digest := sendOK(t, remote, dir, SendOptions{}).Digest

	// In the way are a directory for a file, what only is here, and a broken change.
	lay(t, to, map[string]string{"only/here": "kept", "many/0/file": "broken"})
	must(t, os.Remove(filepath.Join(to, "a")))
	must(t, os.MkdirAll(filepath.Join(to, "a/b"), 0o755))
	r.reset()
	_, err = Fetch(t.Context(), remote, digest, to, options)
	var conflict *ConflictError
	if !errors.As(err, &conflict) || conflict.Path != "a" {
		t.Fatalf("got %v", err)
	}
	must(t, os.Remove(filepath.Join(to, "a/b")))
	receipt, err := Fetch(t.Context(), remote, digest, to, options)
	must(t, err)
	if receipt.FetchedBytes > 5<<20 {
		t.Errorf("%d bytes are fetched", receipt.FetchedBytes)
	}
	if content, err := os.ReadFile(filepath.Join(to, "only/here")); err != nil || string(content) != "kept" {
		t.Errorf("what only is here: %q, %v", content, err)
	}
	if _, err := os.Stat(filepath.Join(to, "b")); err != nil {
		t.Errorf("what only is here: %v", err)
	}
	options.Delete = true
	receipt, err = Fetch(t.Context(), remote, digest, to, options)
	must(t, err)
	if slices.Sort(receipt.Deleted); !slices.Equal(receipt.Deleted, []string{"b", "only"}) {
		t.Errorf("deleted are %q", receipt.Deleted)
	}
	compareDirs(t, to, dir)
}

func TestBrokenFetchGoesOn(t *testing.T) {
	_, remote := serve(t, store.Options{})
	dir := t.TempDir()
	files := make(map[string]string)
	for i := range 32 {
		files[fmt.Sprintf("d/%d", i)] = string(bytesOf(uint64(i), 1<<20))
	}
	files["large"] = string(bytesOf(99, 12<<20))
	lay(t, dir, files)
	setDirTimes(t, dir)
	digest := sendOK(t, remote, dir, SendOptions{}).Digest

	to := t.TempDir()
	r := record(remote)
	broken := errors.New("the network is gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	contents := 0
	r.response = func(response *http.Response) {
		// The third answer with contents is cut in its middle.
		if contents++; contents == 4 {
			response.Body = &cutBody{response.Body, 5 << 20, func() { cancel(broken) }}
		}
	}
	first, err := Fetch(ctx, remote, digest, to, FetchOptions{})
	if !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	if entries, err := os.ReadDir(to); err != nil || len(entries) != 1 {
		t.Errorf("visible are %v, %v", entries, err)
	}
	r.response = nil
	second, err := Fetch(t.Context(), remote, digest, to, FetchOptions{})
	must(t, err)
	if sum := first.FetchedCompressed + second.FetchedCompressed; sum > 52<<20 {
		t.Errorf("%d bytes come, then %d", first.FetchedCompressed, second.FetchedCompressed)
	}
	if second.FetchedBytes >= 44<<20 {
		t.Errorf("all %d bytes come again", second.FetchedBytes)
	}
	compareDirs(t, to, dir)
}

// cutBody ends after so many bytes.
type cutBody struct {
	io.ReadCloser
	left  int
	atEnd func()
}

func (c *cutBody) Read(p []byte) (int, error) {
	if c.left == 0 {
		c.atEnd()
		return 0, io.ErrUnexpectedEOF
	}
	n, err := c.ReadCloser.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

func TestFetchDoesNotLeaveTheDirectory(t *testing.T) {
	_, remote := serve(t, store.Options{})
	dir := t.TempDir()
	lay(t, dir, map[string]string{"sub/file": "new", "sub2/deep/file": "new"})
	digest := sendOK(t, remote, dir, SendOptions{}).Digest
	outside := t.TempDir()
	lay(t, outside, map[string]string{"file": "untouched", "deep/file": "untouched"})
	to := t.TempDir()
	must(t, os.Symlink(outside, filepath.Join(to, "sub")))
	must(t, os.Symlink(outside, filepath.Join(to, "sub2")))
	_, err := Fetch(t.Context(), remote, digest, to, FetchOptions{})
	must(t, err)
	for _, name := range []string{"file", "deep/file"} {
		if content, err := os.ReadFile(filepath.Join(outside, name)); err != nil || string(content) != "untouched" {
			t.Errorf("outside is %q, %v", content, err)
		}
	}
	if content, err := os.ReadFile(filepath.Join(to, "sub/file")); err != nil || string(content) != "new" {
		t.Errorf("inside is %q, %v", content, err)
	}
}
