package image

import (
	"archive/tar"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

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
