package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

var here = v1.Platform{OS: "linux", Architecture: runtime.GOARCH}

// file is an entry of a layer: a file with text, or what kind says.
type file struct {
	name, text string
	mode       int64
	kind       byte
	link       string
}

func dir(name string, mode int64) file { return file{name: name, mode: mode, kind: tar.TypeDir} }

func layerTar(t *testing.T, files ...file) []byte {
	t.Helper()
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for _, f := range files {
		header := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.text)), Typeflag: f.kind, Linkname: f.link}
		if header.Typeflag == 0 {
			header.Typeflag = tar.TypeReg
		}
		if header.Mode == 0 {
			header.Mode = 0o644
		}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func gzipLayer(t *testing.T, files ...file) v1.Layer {
	t.Helper()
	content := layerTar(t, files...)
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

func zstdLayer(t *testing.T, files ...file) v1.Layer {
	t.Helper()
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	content := encoder.EncodeAll(layerTar(t, files...), nil)
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}, tarball.WithMediaType(types.OCILayerZStd))
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

func makeImage(t *testing.T, platform v1.Platform, layers ...v1.Layer) v1.Image {
	t.Helper()
	image, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = platform.OS, platform.Architecture
	config.Config.Env = []string{"COLOR=blue"}
	config.Config.User = "app"
	config.Config.WorkingDir = "/srv"
	config.Config.Entrypoint = []string{"/bin/entry"}
	config.Config.Cmd = []string{"word"}
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	return image
}

// registryServer is a registry that notes what it was asked and can be made to misbehave.
type registryServer struct {
	*httptest.Server
	host string

	mu       sync.Mutex
	requests []string
	handle   func(w http.ResponseWriter, r *http.Request, next http.Handler)
}

func newRegistry(t *testing.T) *registryServer {
	t.Helper()
	s := new(registryServer)
	next := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.Method+" "+r.URL.Path)
		handle := s.handle
		s.mu.Unlock()
		if handle != nil {
			handle(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	s.host = strings.TrimPrefix(s.URL, "http://")
	return s
}

func (s *registryServer) push(t *testing.T, repository string, image v1.Image) v1.Hash {
	t.Helper()
	reference, err := name.ParseReference(s.host + "/" + repository)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(reference, image); err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// since forgets what was asked so far and gives it.
func (s *registryServer) since() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	requests := s.requests
	s.requests = nil
	return requests
}

func (s *registryServer) misbehave(handle func(w http.ResponseWriter, r *http.Request, next http.Handler)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handle = handle
}

func (s *registryServer) source(repository string) Source {
	repository, tag, found := strings.Cut(repository, ":")
	if !found {
		tag = "latest"
	}
	return Source{Repository: s.host + "/" + repository, Tag: tag, Platform: here}
}

func openStore(t *testing.T) *Store {
	t.Helper()
	store, err := Open(t.TempDir(), Options{StallTimeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// mount stacks an image's layers as a container would and gives the merged directory.
func mount(t *testing.T, image *Image) string {
	t.Helper()
	merged := t.TempDir()
	layers := image.Layers
	if len(layers) == 1 {
		layers = append(layers, t.TempDir()) // overlayfs without an upper layer wants two
	}
	if err := unix.Mount("overlay", merged, "overlay", unix.MS_RDONLY, "lowerdir="+strings.Join(layers, ":")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(merged, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return merged
}

func wantFile(t *testing.T, dir, name, text string) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil || string(got) != text {
		t.Errorf("%s: %q, %v; want %q", name, got, err, text)
	}
}

func wantNothing(t *testing.T, dir, name string) {
	t.Helper()
	if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is there (%v)", name, err)
	}
}

// wantEmpty checks that nothing of a failed image is left.
func wantEmpty(t *testing.T, store *Store) {
	t.Helper()
	for _, name := range []string{"images", "layers", "tmp"} {
		entries, err := os.ReadDir(filepath.Join(store.dir, name))
		if err != nil || len(entries) > 0 {
			t.Errorf("%s is not empty: %v, %v", name, entries, err)
		}
	}
}

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

// An image may have a layer twice, as one that is empty.
func TestLayerThatIsThereTwice(t *testing.T) {
	registry := newRegistry(t)
	twice := gzipLayer(t, file{name: "a", text: "twice"}, file{name: ".wh.c"})
	registry.push(t, "app", makeImage(t, here, twice,
		gzipLayer(t, file{name: "a", text: "between"}, file{name: "b", text: "between"}, file{name: "c", text: "between"}), twice))
	image, err := openStore(t).Pull(t.Context(), registry.source("app"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer image.Release()
	merged := mount(t, image)
	wantFile(t, merged, "a", "twice")
	wantFile(t, merged, "b", "between")
	wantNothing(t, merged, "c")
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

func TestLayersAreSharedByImages(t *testing.T) {
	registry := newRegistry(t)
	base := gzipLayer(t, file{name: "base", text: "b"})
	registry.push(t, "one", makeImage(t, here, base, gzipLayer(t, file{name: "one", text: "1"})))
	registry.push(t, "two", makeImage(t, here, base, gzipLayer(t, file{name: "two", text: "2"})))
	store := openStore(t)
	var group sync.WaitGroup
	for _, repository := range []string{"one", "two", "one", "two"} {
		group.Go(func() {
			image, err := store.Pull(context.Background(), registry.source(repository), nil)
			if err != nil {
				t.Error(err)
				return
			}
			image.Release()
		})
	}
	group.Wait()
	entries, err := os.ReadDir(filepath.Join(store.dir, "layers"))
	if err != nil || len(entries) != 3 {
		t.Errorf("%d layers, %v; want 3", len(entries), err)
	}
	digest, err := base.Digest()
	if err != nil {
		t.Fatal(err)
	}
	fetched := 0
	for _, request := range registry.since() {
		if strings.HasPrefix(request, "GET ") && strings.HasSuffix(request, digest.String()) {
			fetched++
		}
	}
	if fetched != 1 {
		t.Errorf("the layer both images have was fetched %d times", fetched)
	}
}

// A directory that a layer has only because there are files in it keeps the mode
// that the layer below gave it.
func TestImpliedDirectories(t *testing.T) {
	registry := newRegistry(t)
	registry.push(t, "app", makeImage(t, here,
		gzipLayer(t, dir("private", 0o700), dir("private/tmp", 0o1777)),
		gzipLayer(t, file{name: "private/tmp/file", text: "x"}, file{name: "fresh/file", text: "y"})))
	image, err := openStore(t).Pull(t.Context(), registry.source("app"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer image.Release()
	merged := mount(t, image)
	for name, want := range map[string]fs.FileMode{
		"private":     fs.ModeDir | 0o700,
		"private/tmp": fs.ModeDir | fs.ModeSticky | 0o777,
		"fresh":       fs.ModeDir | 0o755,
	} {
		info, err := os.Stat(filepath.Join(merged, name))
		if err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v; want %v", name, info.Mode(), err, want)
		}
	}
	wantFile(t, merged, "private/tmp/file", "x")
}

func TestLayerThatLeavesItsRoot(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	registry := newRegistry(t)
	registry.push(t, "app", makeImage(t, here, gzipLayer(t,
		file{name: "../../../../../../../../" + outside, text: "x"},
		file{name: "link", kind: tar.TypeSymlink, link: filepath.Dir(outside)},
		file{name: "link/outside", text: "x"})))
	store := openStore(t)
	image, err := store.Pull(t.Context(), registry.source("app"), nil)
	if err == nil {
		image.Release()
	}
	if _, err := os.Lstat(outside); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a layer wrote outside its directory (%v)", err)
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

func unauthorized(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
	w.WriteHeader(http.StatusUnauthorized)
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

func TestLoad(t *testing.T) {
	image := makeImage(t, here, gzipLayer(t, file{name: "a", text: "1"}), gzipLayer(t, file{name: "b", text: "2"}))
	reference, err := name.NewTag("app:1")
	if err != nil {
		t.Fatal(err)
	}
	writeLayout := func(t *testing.T, dir string) {
		path, err := layout.Write(dir, empty.Index)
		if err != nil {
			t.Fatal(err)
		}
		if err := path.AppendImage(image); err != nil {
			t.Fatal(err)
		}
	}
	forms := map[string]func(t *testing.T, dir string){
		"OCI layout": writeLayout,
		"docker archive": func(t *testing.T, dir string) {
			if err := tarball.WriteToFile(filepath.Join(dir, "image.tar"), reference, image); err != nil {
				t.Fatal(err)
			}
		},
		"OCI archive": func(t *testing.T, dir string) {
			from := t.TempDir()
			writeLayout(t, from)
			writeArchive(t, from, filepath.Join(dir, "app.tar"))
		},
		"rootfs": func(t *testing.T, dir string) {
			if err := os.Mkdir(filepath.Join(dir, "rootfs"), 0o755); err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string]string{"rootfs/a": "1", "rootfs/b": "2",
				"metadata.json": `{"env":["COLOR=blue"],"user":"app","workdir":"/srv","entrypoint":["/bin/entry"],"cmd":["word"]}`} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		},
	}
	for form, write := range forms {
		t.Run(form, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir)
			store := openStore(t)
			for range 2 {
				got, err := store.Load(t.Context(), dir, here)
				if err != nil {
					t.Fatal(err)
				}
				if got.Config.User != "app" || got.Config.WorkingDir != "/srv" {
					t.Errorf("config %+v", got.Config)
				}
				merged := mount(t, got)
				wantFile(t, merged, "a", "1")
				wantFile(t, merged, "b", "2")
				got.Release()
			}
			if left, err := os.ReadDir(filepath.Join(store.dir, "tmp")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func writeArchive(t *testing.T, dir, file string) {
	t.Helper()
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	w := tar.NewWriter(out)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestLoadRefuses(t *testing.T) {
	tests := []struct {
		name  string
		write func(t *testing.T, dir string)
		want  string
	}{
		{"nothing", func(*testing.T, string) {}, "no image in it"},
		{"two archives", func(t *testing.T, dir string) {
			for _, name := range []string{"a.tar", "b.tar"} {
				if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}, "no image in it"},
		{"no tar", func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "image.tar"), []byte("text"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, "image.tar"},
		{"rootfs is a link", func(t *testing.T, dir string) {
			if err := os.Symlink("/", filepath.Join(dir, "rootfs")); err != nil {
				t.Fatal(err)
			}
		}, "no image in it"},
		{"blob is a link", func(t *testing.T, dir string) {
			path, err := layout.Write(dir, empty.Index)
			if err != nil {
				t.Fatal(err)
			}
			if err := path.AppendImage(makeImage(t, here, gzipLayer(t, file{name: "a"}))); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("/etc/passwd", filepath.Join(dir, "blobs", "sha256", "0")); err != nil {
				t.Fatal(err)
			}
		}, "neither a file nor a directory"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			test.write(t, dir)
			store := openStore(t)
			_, err := store.Load(t.Context(), dir, here)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			wantEmpty(t, store)
		})
	}
}

func TestCollect(t *testing.T) {
	registry := newRegistry(t)
	base := gzipLayer(t, file{name: "base", text: "b"})
	registry.push(t, "kept", makeImage(t, here, base))
	registry.push(t, "unused", makeImage(t, here, base, gzipLayer(t, file{name: "top", text: "t"})))
	store := openStore(t)
	kept, err := store.Pull(t.Context(), registry.source("kept"), nil)
	if err != nil {
		t.Fatal(err)
	}
	unused, err := store.Pull(t.Context(), registry.source("unused"), nil)
	if err != nil {
		t.Fatal(err)
	}
	unused.Release()
	unused.Release() // again does nothing

	if err := store.Collect(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	again, err := store.Image(unused.Digest)
	if err != nil {
		t.Fatalf("an image used lately was collected: %v", err)
	}
	again.Release()

	if err := store.Collect(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Image(unused.Digest); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an unused image is still there (%v)", err)
	}
	wantFile(t, mount(t, kept), "base", "b")
	layers, err := os.ReadDir(filepath.Join(store.dir, "layers"))
	if err != nil || len(layers) != 1 {
		t.Errorf("%d layers, %v; want 1", len(layers), err)
	}
	kept.Release()
	if err := store.Collect(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	wantEmpty(t, store)
}

func TestNoSpaceForLayer(t *testing.T) {
	small := t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(small, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	registry := newRegistry(t)
	registry.push(t, "app", makeImage(t, here, gzipLayer(t, file{name: "big", text: strings.Repeat("x", 1<<20)})))
	store, err := Open(small, Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Pull(t.Context(), registry.source("app"), nil)
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "disk is full") {
		t.Errorf("error %v, want one that says that the disk is full", err)
	}
	wantEmpty(t, store)
}

func TestParseSource(t *testing.T) {
	tests := []struct {
		name, kind string
		source     map[string]any
		version    map[string]string
		want       string // the image, or
		wantError  string
	}{
		{name: "tag", kind: "registry-image", source: map[string]any{"repository": "busybox", "tag": "1.36"}, want: "busybox:1.36"},
		{name: "no tag", kind: "registry-image", source: map[string]any{"repository": "busybox"}, want: "busybox:latest"},
		{name: "number", kind: "registry-image", source: map[string]any{"repository": "alpine", "tag": 22}, want: "alpine:22"},
		{name: "digest", kind: "registry-image", source: map[string]any{"repository": "busybox"},
			version: map[string]string{"digest": "sha256:" + strings.Repeat("a", 64)}, want: "busybox@sha256:" + strings.Repeat("a", 64)},
		{name: "docker-image", kind: "docker-image", source: map[string]any{"repository": "example.com/x", "tag": "1"}, want: "example.com/x:1"},
		{name: "no repository", kind: "registry-image", source: map[string]any{}, wantError: "source.repository is missing"},
		{name: "bad repository", kind: "registry-image", source: map[string]any{"repository": "No Such"}, wantError: "image_resource: "},
		{name: "mistyped", kind: "registry-image", source: map[string]any{"repository": []any{"a"}}, wantError: "source.repository has the wrong type (array)"},
		{name: "bad digest", kind: "registry-image", source: map[string]any{"repository": "busybox"}, version: map[string]string{"digest": "1"}, wantError: "image_resource: "},
		{name: "other type", kind: "git", source: map[string]any{}, wantError: `type "git" is not supported`},
		{name: "aws", kind: "registry-image", source: map[string]any{"repository": "x", "aws_region": "y"}, wantError: "source.aws_region is not supported"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			source, err := ParseSource(test.kind, test.source, test.version)
			var wrong *SourceError
			if test.wantError != "" {
				if !errors.As(err, &wrong) || !strings.Contains(err.Error(), test.wantError) {
					t.Errorf("error %v, want one with %q", err, test.wantError)
				}
				return
			}
			if err != nil || source.String() != test.want {
				t.Errorf("%s, %v; want %s", source, err, test.want)
			}
		})
	}
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
