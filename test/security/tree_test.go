package security

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"midge/artifacts"
	"midge/test/realserver"
)

// sendingTree is a server whose artifact is the tree with those entries, in the order of
// their names; what it has of the content evil is in files of any name.
func sendingTree(sent *atomic.Int64, content []byte, entries ...artifacts.Entry) http.Handler {
	objects := artifacts.EncodeTree(entries)
	var frame artifacts.FrameBuilder
	for _, object := range objects {
		frame.Add(artifacts.Key{Kind: artifacts.KindTree, Digest: object.Digest}, object.Record())
	}
	frame.Add(artifacts.Key{Kind: artifacts.KindContent, Digest: artifacts.Sum(content)}, content)
	pack := artifacts.AppendPackEnd(frame.AppendFrame(artifacts.AppendPackStart(nil)))
	mux := http.NewServeMux()
	for path, answer := range map[string]string{
		"GET /api/v1/info":                        `{"version":"8.0.0","worker_version":"2.5","midge":{"version":"1.0.0","features":["artifacts"]}}`,
		"GET /api/v1/teams/main/artifacts/1":      `{"id":1,"name":"out","digest":"` + objects[0].Digest.String() + `"}`,
		"POST /api/v1/teams/main/artifacts/fetch": string(pack),
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "POST" {
				sent.Add(1)
			}
			fmt.Fprint(w, answer)
		})
	}
	return mux
}

// A tree that a server sends is put where it is to be, and nowhere else.
func TestHostileServersTree(t *testing.T) {
	content := []byte("evil")
	file := func(name string) artifacts.Entry {
		return artifacts.Entry{Name: name, Type: artifacts.TypeFile, Mode: 0o644, Size: int64(len(content)),
			Content: artifacts.Key{Kind: artifacts.KindContent, Digest: artifacts.Sum(content)}}
	}
	linked := file("linked")
	linked.Link = "../kept"
	outside := filepath.Join(t.TempDir(), "outside")
	for name, entries := range map[string][]artifacts.Entry{
		"above":             {file("../escaped")},
		"absolute":          {file("/" + outside)},
		"a directory above": {{Name: "..", Type: artifacts.TypeDirectory, Mode: 0o755, Content: artifacts.Key{Kind: artifacts.KindTree, Digest: artifacts.Sum(nil)}}},
		"through a link":    {{Name: "link", Type: artifacts.TypeSymlink, Target: filepath.Dir(outside)}, file("link/outside")},
		"a link above":      {{Name: "../escaped", Type: artifacts.TypeSymlink, Target: "/"}},
		"a hard link above": {linked},
	} {
		t.Run(name, func(t *testing.T) {
			var sent atomic.Int64
			fake := httptest.NewServer(sendingTree(&sent, content, entries...))
			defer fake.Close()
			home := evilHome(t, fake.URL)
			kept := filepath.Join(home, "deep/kept")
			if err := os.Mkdir(filepath.Dir(kept), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(kept, content, 0o644); err != nil {
				t.Fatal(err)
			}
			r := realserver.Run(t, realserver.Midge(t.Context(), home, "-t", "evil", "artifacts", "pull", "1", filepath.Join(home, "deep/out")))
			if r.Status == 0 || sent.Load() == 0 || !strings.Contains(r.Stderr, "tree") {
				t.Errorf("it was asked for the tree %d times, and the client said %+v", sent.Load(), r)
			}
			wantNoneNamed(t, "outside", filepath.Dir(outside))
			wantNoneNamed(t, "escaped", home, filepath.Join(home, "deep"), filepath.Dir(home))
			wantNoneNamed(t, "linked", filepath.Join(home, "deep/out"))
		})
	}
}
