package transfer

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"midge/artifacts/store"
)

// serve gives a server that has a store, and how to reach it.
func serve(t testing.TB, options store.Options) (*store.Store, *Remote) {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), "store"), options)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler(store.Routes{
		Prefix: "/teams/{team}/artifacts",
		Team:   func(r *http.Request) string { return r.PathValue("team") },
		Created: func(w http.ResponseWriter, r *http.Request, tree *store.Tree) {
			json.NewEncoder(w).Encode(map[string]any{"name": r.URL.Query().Get("name"), "digest": tree.Handle()})
		},
	}))
	t.Cleanup(func() {
		server.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, &Remote{Client: server.Client(), URL: server.URL + "/teams/main/artifacts"}
}

// goRoot is the tree that is measured: a large one that every machine has where this is built.
var goRoot = sync.OnceValue(func() string {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		panic("ask go for GOROOT: " + err.Error())
	}
	return strings.TrimSpace(string(out))
})

func BenchmarkSendFirst(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		_, remote := serve(b, store.Options{})
		cache := b.TempDir()
		b.StartTimer()
		if _, _, err := Send(b.Context(), remote, goRoot(), SendOptions{CacheDir: cache}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSendUnchanged(b *testing.B) {
	_, remote := serve(b, store.Options{})
	options := SendOptions{CacheDir: b.TempDir()}
	if _, _, err := Send(b.Context(), remote, goRoot(), options); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, _, err := Send(b.Context(), remote, goRoot(), options); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTar is what BenchmarkSendFirst is to be compared with.
func BenchmarkTar(b *testing.B) {
	for b.Loop() {
		to := b.TempDir()
		cmd := exec.Command("sh", "-c", `tar -C "$0" -cf - . | tar -C "$1" -xf -`, goRoot(), to)
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRsync is what BenchmarkSendUnchanged is to be compared with.
func BenchmarkRsync(b *testing.B) {
	to := b.TempDir()
	run := func() {
		cmd := exec.Command("rsync", "-a", goRoot()+"/", to+"/")
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			b.Fatal(err)
		}
	}
	run()
	for b.Loop() {
		run()
	}
}

func BenchmarkFetch(b *testing.B) {
	_, remote := serve(b, store.Options{})
	receipt, _, err := Send(b.Context(), remote, goRoot(), SendOptions{})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Fetch(b.Context(), remote, receipt.Digest, b.TempDir(), FetchOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
