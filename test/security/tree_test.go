package security

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"midge/artifacts"
	"midge/test/realserver"
)

// treeServer is a server whose artifact is the tree of that digest, and which answers
// with send who asks for objects.
func treeServer(root artifacts.Digest, send func(w io.Writer, keys []artifacts.Key)) http.Handler {
	mux := http.NewServeMux()
	for path, answer := range map[string]string{
		"GET /api/v1/info":                   `{"version":"8.0.0","worker_version":"2.5","midge":{"version":"1.0.0","features":["artifacts"]}}`,
		"GET /api/v1/teams/main/artifacts/1": `{"id":1,"name":"out","digest":"` + root.String() + `"}`,
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, answer) })
	}
	mux.HandleFunc("POST /api/v1/teams/main/artifacts/fetch", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if keys, err := artifacts.ParseKeys(body); err == nil && len(keys) > 0 {
			send(w, keys)
		}
	})
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
			objects := artifacts.EncodeTree(entries)
			fake := httptest.NewServer(treeServer(objects[0].Digest, func(w io.Writer, _ []artifacts.Key) {
				sent.Add(1)
				var frame artifacts.FrameBuilder
				for _, object := range objects {
					frame.Add(artifacts.Key{Kind: artifacts.KindTree, Digest: object.Digest}, object.Record())
				}
				frame.Add(artifacts.Key{Kind: artifacts.KindContent, Digest: artifacts.Sum(content)}, content)
				// A client that has gone needs no more.
				_, _ = w.Write(artifacts.AppendPackEnd(frame.AppendFrame(artifacts.AppendPackStart(nil))))
			}))
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

// endlessPack writes a pack of what get gives until the client has enough of it.
func endlessPack(w io.Writer, get func(n int) (artifacts.Key, []byte)) {
	_, err := w.Write(artifacts.AppendPackStart(nil))
	for n := 0; err == nil; {
		var frame artifacts.FrameBuilder
		for {
			key, record := get(n)
			if !frame.Fits(len(record)) {
				break
			}
			frame.Add(key, record)
			n++
		}
		_, err = w.Write(frame.AppendFrame(nil))
	}
}

// A tree that has no end, or is few objects that name each other often, is given up, and
// so is a server that sends contents that nobody wants.
func TestHostileServersEnormousTrees(t *testing.T) {
	const most = 1 << 20 // KiB
	target := strings.Repeat("x", 4000)
	endlessTrees := func(n int) (artifacts.Key, []byte) {
		entries := make([]artifacts.Entry, 50)
		for i := range entries {
			entries[i] = artifacts.Entry{Name: fmt.Sprintf("%09d-%d", n, 10+i), Type: artifacts.TypeSymlink, Target: target}
		}
		object := artifacts.EncodeTree(entries)[0]
		return artifacts.Key{Kind: artifacts.KindTree, Digest: object.Digest}, object.Record()
	}
	endlessContents := func(n int) (artifacts.Key, []byte) {
		content := append([]byte(fmt.Sprint(n)), make([]byte, 200<<10)...)
		return artifacts.Key{Kind: artifacts.KindContent, Digest: artifacts.Sum(content)}, content
	}
	// Each directory has the one below it two thousand times.
	below := artifacts.EncodeTree(nil)[0]
	multiplied := map[artifacts.Digest]artifacts.TreeObject{below.Digest: below}
	for range 8 {
		entries := make([]artifacts.Entry, 2000)
		for i := range entries {
			entries[i] = artifacts.Entry{Name: fmt.Sprintf("%04d", i), Type: artifacts.TypeDirectory, Mode: 0o755,
				Content: artifacts.Key{Kind: artifacts.KindTree, Digest: below.Digest}}
		}
		below = artifacts.EncodeTree(entries)[0]
		multiplied[below.Digest] = below
	}
	file := artifacts.EncodeTree([]artifacts.Entry{{Name: "file", Type: artifacts.TypeFile, Mode: 0o644, Size: 4,
		Content: artifacts.Key{Kind: artifacts.KindContent, Digest: artifacts.Sum([]byte("evil"))}}})[0]
	for name, test := range map[string]struct {
		root    artifacts.Digest
		refusal string
		send    func(w io.Writer, keys []artifacts.Key)
	}{
		"trees":      {artifacts.Sum(nil), "too large", func(w io.Writer, _ []artifacts.Key) { endlessPack(w, endlessTrees) }},
		"multiplied": {below.Digest, "too large", func(w io.Writer, keys []artifacts.Key) { sendTrees(w, multiplied, keys) }},
		"contents": {file.Digest, "not asked for", func(w io.Writer, keys []artifacts.Key) {
			if keys[0].Kind == artifacts.KindTree {
				sendTrees(w, map[artifacts.Digest]artifacts.TreeObject{file.Digest: file}, keys)
				return
			}
			endlessPack(w, endlessContents)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			fake := httptest.NewServer(treeServer(test.root, test.send))
			defer fake.Close()
			home := evilHome(t, fake.URL)
			cmd := realserver.Midge(t.Context(), home, "-t", "evil", "artifacts", "pull", "1", filepath.Join(home, "out"))
			if r := realserver.Run(t, cmd); r.Status == 0 || len(r.Stderr) > 4<<10 || !strings.Contains(r.Stderr, test.refusal) {
				t.Errorf("exit status %d: %s", r.Status, r.Stderr)
			}
			if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); !ok || usage.Maxrss > most {
				t.Errorf("it took %d KiB of memory", usage.Maxrss)
			}
		})
	}
}

// sendTrees writes a pack of those trees that are asked for.
func sendTrees(w io.Writer, trees map[artifacts.Digest]artifacts.TreeObject, keys []artifacts.Key) {
	var frame artifacts.FrameBuilder
	for _, key := range keys {
		tree := trees[key.Digest]
		frame.Add(key, tree.Record())
	}
	// A client that has enough needs no more.
	_, _ = w.Write(artifacts.AppendPackEnd(frame.AppendFrame(artifacts.AppendPackStart(nil))))
}
