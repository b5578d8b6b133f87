package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"midge/artifacts/store"
)

// serve gives a server that has a store, and how to reach it.
func serve(t testing.TB, options store.Options) (*store.Store, *Remote) {
	t.Helper()
	return serveIn(t, filepath.Join(t.TempDir(), "store"), options)
}

// serveIn is serve with the store in a directory.
func serveIn(t testing.TB, dir string, options store.Options) (*store.Store, *Remote) {
	t.Helper()
	s, err := store.Open(dir, options)
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

// measure runs do, and reports the processor's time of it besides: on a machine
// that does other things as well that says more than the clock.
func measure(b *testing.B, do func()) {
	var busy time.Duration
	for b.Loop() {
		before := busyTime(b)
		do()
		busy += busyTime(b) - before
	}
	b.ReportMetric(float64(busy.Milliseconds())/float64(b.N), "cpu-ms/op")
}

// busyTime gives the processor's time of this process and those that it waited for.
func busyTime(b *testing.B) time.Duration {
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var usage syscall.Rusage
		if err := syscall.Getrusage(who, &usage); err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	return sum
}

func command(b *testing.B, name string, args ...string) {
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkSendFirst(b *testing.B) {
	measure(b, func() {
		_, remote := serve(b, store.Options{})
		if _, _, err := Send(b.Context(), remote, goRoot(), SendOptions{CacheDir: b.TempDir()}); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkSendUnchanged(b *testing.B) {
	_, remote := serve(b, store.Options{})
	options := SendOptions{CacheDir: b.TempDir()}
	if _, _, err := Send(b.Context(), remote, goRoot(), options); err != nil {
		b.Fatal(err)
	}
	measure(b, func() {
		if _, _, err := Send(b.Context(), remote, goRoot(), options); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkSendOneChanged sends a copy of the tree in which one file changes.
func BenchmarkSendOneChanged(b *testing.B) {
	_, remote := serve(b, store.Options{})
	dir := filepath.Join(b.TempDir(), "tree")
	command(b, "cp", "-a", goRoot(), dir)
	options := SendOptions{CacheDir: b.TempDir()}
	n := 0
	change := func() {
		n++
		if err := os.WriteFile(filepath.Join(dir, "src/net/http/server.go"), fmt.Appendf(nil, "package http // %d", n), 0o644); err != nil {
			b.Fatal(err)
		}
		if _, _, err := Send(b.Context(), remote, dir, options); err != nil {
			b.Fatal(err)
		}
	}
	change()
	measure(b, change)
}

func BenchmarkFetch(b *testing.B) {
	_, remote := serve(b, store.Options{})
	receipt, _, err := Send(b.Context(), remote, goRoot(), SendOptions{})
	if err != nil {
		b.Fatal(err)
	}
	measure(b, func() {
		if _, err := Fetch(b.Context(), remote, receipt.Digest, b.TempDir(), FetchOptions{}); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkMaterialise makes trees into directories that differ in one file; with
// similar, each may share the files of the one before.
func BenchmarkMaterialise(b *testing.B) {
	for _, similar := range []bool{false, true} {
		b.Run(fmt.Sprint("similar=", similar), func(b *testing.B) {
			s, remote := serve(b, store.Options{MaxDirectories: 1})
			dir := filepath.Join(b.TempDir(), "tree")
			command(b, "cp", "-a", goRoot(), dir)
			n := 0
			var busy time.Duration
			for b.Loop() {
				b.StopTimer()
				n++
				if err := os.WriteFile(filepath.Join(dir, "src/new"), fmt.Append(nil, n), 0o644); err != nil {
					b.Fatal(err)
				}
				receipt, _, err := Send(b.Context(), remote, dir, SendOptions{})
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				before := busyTime(b)
				_, release, err := s.Materialise(b.Context(), receipt.Digest)
				if err != nil {
					b.Fatal(err)
				}
				busy += busyTime(b) - before
				if similar {
					defer release()
				} else {
					release()
				}
			}
			b.ReportMetric(float64(busy.Milliseconds())/float64(b.N), "cpu-ms/op")
		})
	}
}

// BenchmarkIngest stores a directory of this machine that the store does not know.
func BenchmarkIngest(b *testing.B) {
	measure(b, func() {
		s, _ := serve(b, store.Options{})
		if _, _, _, err := s.Ingest(b.Context(), "main", local(goRoot())); err != nil {
			b.Fatal(err)
		}
	})
}

// local is a directory of this machine as an artifact.
type local string

func (l local) Handle() string { return string(l) }

func (l local) LocalPath(context.Context) (string, func(), error) { return string(l), func() {}, nil }

func (l local) StreamOut(context.Context, string) (io.ReadCloser, error) {
	return nil, errors.New("a local artifact is read where it lies")
}

// BenchmarkTar is what sending all and fetching all are to be compared with.
func BenchmarkTar(b *testing.B) {
	measure(b, func() {
		command(b, "sh", "-c", `tar -C "$0" -cf - . | tar -C "$1" -xf -`, goRoot(), b.TempDir())
	})
}

// BenchmarkRsync is what sending little is to be compared with.
func BenchmarkRsync(b *testing.B) {
	to := b.TempDir()
	command(b, "rsync", "-a", goRoot()+"/", to+"/")
	measure(b, func() { command(b, "rsync", "-a", goRoot()+"/", to+"/") })
}
