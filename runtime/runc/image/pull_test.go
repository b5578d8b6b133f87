package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestPullStacksLayers(t *testing.T) {
	registry := newRegistry(t)
	image := makeImage(t, here,
		gzipLayer(t, dir("etc", 0o755), file{name: "etc/a", text: "lower"}, file{name: "etc/gone", text: "x"},
			dir("old", 0o755), file{name: "old/hidden", text: "x"}, file{name: "bin", kind: tar.TypeSymlink, link: "usr/bin"}),
		zstdLayer(t, file{name: "etc/a", text: "upper"}, file{name: "etc/.wh.gone"},
			dir("old", 0o755), file{name: "old/.wh..wh..opq"}, file{name: "old/new", text: "seen"}),
		gzipLayer(t, dir("usr", 0o755), dir("usr/bin", 0o755), file{name: "usr/bin/entry", text: "run", mode: 0o755},
			file{name: "usr/bin/same", kind: tar.TypeLink, link: "usr/bin/entry"}))
	want := registry.push(t, "app:1", image)
	store := openStore(t)
	var (
		mu   sync.Mutex
		last Progress
	)
	got, err := store.Pull(t.Context(), registry.source("app:1"), func(p Progress) {
		mu.Lock()
		defer mu.Unlock()
		if p.LayersDone >= last.LayersDone {
			last = p
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer got.Release()
	if got.Digest != want.String() {
		t.Errorf("digest %s, want %s", got.Digest, want)
	}
	if last.Layers != 3 || last.LayersDone != 3 || last.BytesDone != last.Bytes || last.Bytes == 0 {
		t.Errorf("the last progress was %+v", last)
	}
	config := Config{Env: []string{"COLOR=blue"}, User: "app", WorkingDir: "/srv", Entrypoint: []string{"/bin/entry"}, Cmd: []string{"word"}}
	if fmt.Sprint(got.Config) != fmt.Sprint(config) {
		t.Errorf("config %+v, want %+v", got.Config, config)
	}
	merged := mount(t, got)
	wantFile(t, merged, "etc/a", "upper")
	wantNothing(t, merged, "etc/gone")
	wantFile(t, merged, "old/new", "seen")
	wantNothing(t, merged, "old/hidden")
	wantFile(t, merged, "bin/entry", "run")
	wantFile(t, merged, "usr/bin/same", "run")
}

func TestSecondPullIsOneHead(t *testing.T) {
	registry := newRegistry(t)
	digest := registry.push(t, "app", makeImage(t, here, gzipLayer(t, file{name: "a", text: "1"})))
	store := openStore(t)
	pull := func(source Source) {
		image, err := store.Pull(t.Context(), source, nil)
		if err != nil {
			t.Fatal(err)
		}
		image.Release()
	}
	pull(registry.source("app"))
	registry.since()
	pull(registry.source("app"))
	byDigest := registry.source("app")
	byDigest.Digest = digest.String()
	pull(byDigest)
	var manifests []string
	for _, request := range registry.since() {
		if !strings.HasSuffix(request, " /v2/") { // how a registry is found out to want a login
			manifests = append(manifests, request)
		}
	}
	want := []string{"HEAD /v2/app/manifests/latest", "HEAD /v2/app/manifests/" + digest.String()}
	if !slices.Equal(manifests, want) {
		t.Errorf("requests %q, want %q", manifests, want)
	}
}

func TestPullRefuses(t *testing.T) {
	other := v1.Platform{OS: "linux", Architecture: "riscv64"}
	if here.Architecture == other.Architecture {
		other.Architecture = "amd64"
	}
	plain := func(t *testing.T) v1.Image { return makeImage(t, here, gzipLayer(t, file{name: "a", text: "1"})) }
	tests := []struct {
		name      string
		image     func(t *testing.T) v1.Image
		misbehave func(w http.ResponseWriter, r *http.Request, next http.Handler)
		source    func(*Source)
		want      string
	}{
		{name: "no such image", image: plain, source: func(s *Source) { s.Tag = "nope" }, want: "no such image"},
		{name: "login wanted", image: plain, want: "give username and password",
			misbehave: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { unauthorized(w) }},
		{name: "wrong login", image: plain, want: "refuses the username and password",
			source:    func(s *Source) { s.Username, s.Password = "me", "wrong" },
			misbehave: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { unauthorized(w) }},
		{name: "other platform", want: "is for linux/" + other.Architecture,
			image: func(t *testing.T) v1.Image { return makeImage(t, other, gzipLayer(t, file{name: "a"})) }},
		{name: "link out of the layer", want: "not in the same layer",
			image: func(t *testing.T) v1.Image {
				return makeImage(t, here, gzipLayer(t, file{name: "a", kind: tar.TypeLink, link: "b"}))
			}},
		{name: "layer by the name of another", want: "has the digest", // which others would be given later
			image: func(t *testing.T) v1.Image {
				return named(t, makeImage(t, here, gzipLayer(t, file{name: "a", text: "evil"})), plain(t))
			}},
		{name: "corrupt layer", image: plain, want: "layer 1 of 1",
			misbehave: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if !strings.Contains(r.URL.Path, "/blobs/") {
					next.ServeHTTP(w, r)
					return
				}
				recorder := httptest.NewRecorder()
				next.ServeHTTP(recorder, r)
				body := recorder.Body.Bytes()
				if bytes.HasPrefix(body, []byte{0x1f, 0x8b}) {
					body[len(body)/2] ^= 0xff
				}
				w.Header().Set("Content-Length", fmt.Sprint(len(body)))
				w.Write(body)
			}},
		{name: "cut layer", image: plain, want: "layer 1 of 1",
			misbehave: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				recorder := httptest.NewRecorder()
				next.ServeHTTP(recorder, r)
				body := recorder.Body.Bytes()
				if bytes.HasPrefix(body, []byte{0x1f, 0x8b}) {
					w.Header().Set("Content-Length", fmt.Sprint(len(body)))
					w.Write(body[:len(body)/2])
					panic(http.ErrAbortHandler)
				}
				for key, values := range recorder.Header() {
					w.Header()[key] = values
				}
				w.WriteHeader(recorder.Code)
				w.Write(body)
			}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			registry := newRegistry(t)
			registry.Config.ErrorLog = log.New(io.Discard, "", 0)
			registry.push(t, "app", test.image(t))
			registry.misbehave(test.misbehave)
			source := registry.source("app")
			if test.source != nil {
				test.source(&source)
			}
			store := openStore(t)
			_, err := store.Pull(t.Context(), source, nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			wantEmpty(t, store)
		})
	}
}

func TestPullWithCredentials(t *testing.T) {
	registry := newRegistry(t)
	registry.push(t, "app", makeImage(t, here, gzipLayer(t, file{name: "a", text: "1"})))
	registry.misbehave(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if user, password, ok := r.BasicAuth(); !ok || user != "me" || password != "secret" {
			unauthorized(w)
			return
		}
		next.ServeHTTP(w, r)
	})
	source := registry.source("app")
	source.Username, source.Password = "me", "secret"
	image, err := openStore(t).Pull(t.Context(), source, nil)
	if err != nil {
		t.Fatal(err)
	}
	image.Release()
}

func TestRegistryThatHangs(t *testing.T) {
	registry := newRegistry(t)
	registry.push(t, "app", makeImage(t, here, gzipLayer(t, file{name: "a", text: "1"})))
	release := make(chan struct{})
	defer close(release)
	registry.misbehave(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		recorder := httptest.NewRecorder()
		next.ServeHTTP(recorder, r)
		if body := recorder.Body.Bytes(); bytes.HasPrefix(body, []byte{0x1f, 0x8b}) {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			w.Write(body[:10])
			w.(http.Flusher).Flush()
			select {
			case <-release:
			case <-r.Context().Done():
			}
			return
		}
		for key, values := range recorder.Header() {
			w.Header()[key] = values
		}
		w.WriteHeader(recorder.Code)
		w.Write(recorder.Body.Bytes())
	})
	store, err := Open(t.TempDir(), Options{StallTimeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Pull(t.Context(), registry.source("app"), nil)
	if !errors.Is(err, errStalled) {
		t.Errorf("error %v, want %v", err, errStalled)
	}
	wantEmpty(t, store)
}

func TestPassingFailureIsRetried(t *testing.T) {
	registry := newRegistry(t)
	registry.Config.ErrorLog = log.New(io.Discard, "", 0)
	registry.push(t, "app", makeImage(t, here, gzipLayer(t, file{name: "a", text: "1"})))
	var once sync.Once
	registry.misbehave(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.Contains(r.URL.Path, "/blobs/") {
			once.Do(func() { panic(http.ErrAbortHandler) })
		}
		next.ServeHTTP(w, r)
	})
	image, err := openStore(t).Pull(t.Context(), registry.source("app"), nil)
	if err != nil {
		t.Fatal(err)
	}
	image.Release()
}

func TestMirrorIsAskedFirst(t *testing.T) {
	registry := newRegistry(t)
	registry.push(t, "library/busybox:1", makeImage(t, here, gzipLayer(t, file{name: "a", text: "1"})))
	source, err := ParseSource("registry-image", map[string]any{
		"repository": "busybox", "tag": "1", "registry_mirror": map[string]any{"host": registry.host},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	image, err := openStore(t).Pull(t.Context(), source, nil)
	if err != nil {
		t.Fatal(err)
	}
	image.Release()
}
