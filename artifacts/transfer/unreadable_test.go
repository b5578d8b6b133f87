package transfer

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"midge/artifacts/store"
)

// Who fetches what the server cannot read is told so at once, be it the first that is sent
// or the last of much; the server knows it until it can.
func TestFetchOfWhatTheServerCannotRead(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string
		query string // of the request by which half of each pack is gone
	}{
		"little": {map[string]string{"a": "content"}, "below=1"},
		"much":   {map[string]string{"a": string(bytesOf(1, 3<<20)), "b": string(bytesOf(2, 3<<20)), "c": string(bytesOf(3, 3<<20))}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, remote := serveIn(t, dir, store.Options{})
			from := t.TempDir()
			lay(t, from, test.files)
			r := record(remote)
			digest := sendOK(t, remote, from, SendOptions{}).Digest
			r.reset()
			var whole map[string][]byte
			r.spoil = func(_ int, request *http.Request) error {
				if whole == nil && request.URL.RawQuery == test.query {
					whole = cutPacks(t, dir)
				}
				return nil
			}
			to := t.TempDir()
			_, err := Fetch(t.Context(), remote, digest, to, FetchOptions{})
			if err == nil || !strings.Contains(err.Error(), "cannot read what it has stored") {
				t.Errorf("the error is %v", err)
			}
			if len(r.paths) > 3 {
				t.Errorf("it takes the requests %q", r.paths)
			}
			if packs, err := s.Unreadable(); packs == 0 || err == nil {
				t.Errorf("the store knows of %d packs that it cannot read (%v)", packs, err)
			}
			for path, content := range whole {
				must(t, os.WriteFile(path, content, 0o600))
			}
			if packs, err := s.Unreadable(); packs != 0 || err != nil {
				t.Errorf("the store knows of %d packs that it cannot read (%v)", packs, err)
			}
			_, err = Fetch(t.Context(), remote, digest, to, FetchOptions{})
			must(t, err)
			compareDirs(t, to, from)
		})
	}
}

// cutPacks leaves of each pack no more than the first half, and gives what there was.
func cutPacks(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	whole := make(map[string][]byte)
	paths, err := filepath.Glob(filepath.Join(dir, "packs", "*.pack"))
	must(t, err)
	for _, path := range paths {
		content, err := os.ReadFile(path)
		must(t, err)
		whole[path] = content
		must(t, os.Truncate(path, int64(len(content)/2)))
	}
	if len(whole) == 0 {
		t.Fatalf("there are no packs in %s", dir)
	}
	return whole
}
