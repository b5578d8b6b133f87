package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Whatever a registry sends as a layer, nothing is written but in the layer's directory.
func FuzzLayer(f *testing.F) {
	for _, headers := range [][]tar.Header{
		{{Name: "dir/", Typeflag: tar.TypeDir, Mode: 0o755}, {Name: "dir/file", Mode: 0o644}},
		{{Name: "../outside"}, {Name: "link", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: "link/outside"}},
		{{Name: "hard", Typeflag: tar.TypeLink, Linkname: "../../outside"}},
		{{Name: "dir/.wh.file"}, {Name: "dir/.wh..wh..opq"}, {Name: ".wh."}, {Name: ".wh..."}},
	} {
		var layer bytes.Buffer
		w := tar.NewWriter(&layer)
		for _, header := range headers {
			if err := w.WriteHeader(&header); err != nil {
				f.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			f.Fatal(err)
		}
		f.Add(layer.Bytes())
	}
	f.Add([]byte{0x1f, 0x8b})
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd})
	f.Fuzz(func(t *testing.T, layer []byte) {
		parent := t.TempDir()
		dir := filepath.Join(parent, "layer", layerFiles)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		// That its digest is wrong is found at the end.
		_, err := new(Store).apply(t.Context(), v1.Hash{Algorithm: "sha256"}, dir, bytes.NewReader(layer))
		if err == nil {
			t.Error("a layer of another digest was taken")
		}
		for _, pattern := range []string{filepath.Join(parent, "*"), filepath.Join(parent, "layer", "*")} {
			if there, err := filepath.Glob(pattern); err != nil || len(there) != 1 {
				t.Errorf("there are %v (%v)", there, err)
			}
		}
	})
}

func FuzzParseSource(f *testing.F) {
	for _, source := range []string{
		`{"repository":"busybox","tag":1.36}`, `{"repository":"host:5000/a/b","insecure":true,"username":"u","password":"p"}`,
		`{"repository":"a","registry_mirror":"https://m","ca_certs":[{"domain":"d","cert":"c"}]}`,
		`{"repository":"","platform":{"os":"linux"}}`, `{"tag":[]}`, `{}`,
	} {
		f.Add("registry-image", source, "sha256:abc")
		f.Add("docker-image", source, "")
	}
	f.Fuzz(func(t *testing.T, kind, text, digest string) {
		var source map[string]any
		if json.Unmarshal([]byte(text), &source) != nil {
			return
		}
		parsed, err := ParseSource(kind, source, map[string]string{"digest": digest})
		if err != nil {
			return
		}
		if _, err := parsed.reference(""); err != nil || parsed.Repository == "" || parsed.Tag == "" {
			t.Errorf("%s %s gave %+v (%v)", kind, text, parsed, err)
		}
	})
}
