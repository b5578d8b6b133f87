package transfer

import (
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"midge/artifacts/store"
)

// objectFiles lists the files of objects that are kept.
func objectFiles(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && len(entry.Name()) == 64 {
			files = append(files, path)
		}
		return err
	}))
	return files
}

func TestFetchTakesWhatIsKept(t *testing.T) {
	_, remote := serve(t, store.Options{})
	r := record(remote)
	dir := sample(t)
	digest := sendOK(t, remote, dir, SendOptions{}).Digest
	options := FetchOptions{Objects: filepath.Join(t.TempDir(), "objects")}

	var all sync.WaitGroup
	for range 4 {
		to := t.TempDir()
		all.Go(func() {
			if _, err := Fetch(t.Context(), remote, digest, to, options); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	r.reset()
	to := t.TempDir()
	receipt, err := Fetch(t.Context(), remote, digest, to, options)
	must(t, err)
	compareDirs(t, to, dir)
	if len(r.paths) != 0 || receipt.FetchedCompressed != 0 {
		t.Errorf("what is kept takes the requests %q and %d bytes", r.paths, receipt.FetchedCompressed)
	}

	// Of another tree only what differs is fetched.
	lay(t, dir, map[string]string{"sub/c": "other"})
	setDirTimes(t, dir)
	changed := sendOK(t, remote, dir, SendOptions{}).Digest
	to = t.TempDir()
	receipt, err = Fetch(t.Context(), remote, changed, to, options)
	must(t, err)
	compareDirs(t, to, dir)
	if receipt.FetchedCompressed == 0 || receipt.FetchedCompressed > 2000 {
		t.Errorf("one file that changed takes %d bytes", receipt.FetchedCompressed)
	}
}

func TestKeptObjectsThatAreDamaged(t *testing.T) {
	_, remote := serve(t, store.Options{})
	dir := sample(t)
	digest := sendOK(t, remote, dir, SendOptions{}).Digest
	options := FetchOptions{Objects: t.TempDir()}
	_, err := Fetch(t.Context(), remote, digest, t.TempDir(), options)
	must(t, err)
	for i, path := range objectFiles(t, options.Objects) {
		switch i % 3 {
		case 0:
			must(t, os.WriteFile(path, []byte("another"), 0o600))
		case 1:
			must(t, os.Truncate(path, 0))
		}
	}
	to := t.TempDir()
	_, err = Fetch(t.Context(), remote, digest, to, options)
	must(t, err)
	compareDirs(t, to, dir)
}

func TestKeptObjectsThatNobodyUses(t *testing.T) {
	_, remote := serve(t, store.Options{})
	dir := sample(t)
	digest := sendOK(t, remote, dir, SendOptions{}).Digest
	options := FetchOptions{Objects: t.TempDir()}
	fetch := func() {
		t.Helper()
		_, err := Fetch(t.Context(), remote, digest, t.TempDir(), options)
		must(t, err)
	}
	fetch()
	before := objectFiles(t, options.Objects)
	// An earlier tree's, and the time at which one looks for such.
	old := time.Now().Add(-2 * objectsUnused)
	unused := filepath.Join(options.Objects, "1", "00")
	must(t, os.MkdirAll(unused, 0o700))
	unused = filepath.Join(unused, "unused")
	must(t, os.WriteFile(unused, nil, 0o600))
	for _, path := range append(before, unused, filepath.Join(options.Objects, collectedFile)) {
		must(t, os.Chtimes(path, old, old))
	}
	fetch()
	if _, err := os.Stat(unused); err == nil {
		t.Error("what nobody uses is still there")
	}
	if after := objectFiles(t, options.Objects); len(after) != len(before) {
		t.Errorf("of %d objects in use %d are there", len(before), len(after))
	}
}
