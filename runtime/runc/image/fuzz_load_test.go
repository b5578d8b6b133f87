package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

var fuzzPlatform = v1.Platform{OS: "linux", Architecture: "amd64"}

// openFuzzStore opens a store, and gives what checks that nothing is beside it.
func openFuzzStore(t *testing.T) (s *Store, checkBeside func()) {
	t.Helper()
	parent := t.TempDir()
	s, err := Open(filepath.Join(parent, "store"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s, func() {
		t.Helper()
		if there, err := filepath.Glob(filepath.Join(parent, "*")); err != nil || len(there) != 1 {
			t.Errorf("there are %v (%v)", there, err)
		}
	}
}

// archiveOf makes an archive of files, of their names and contents in turn.
func archiveOf(f *testing.F, namesAndContents ...string) []byte {
	f.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for ; len(namesAndContents) > 0; namesAndContents = namesAndContents[2:] {
		if err := w.WriteHeader(&tar.Header{Name: namesAndContents[0], Mode: 0o644, Size: int64(len(namesAndContents[1]))}); err != nil {
			f.Fatal(err)
		}
		if _, err := io.WriteString(w, namesAndContents[1]); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	return archive.Bytes()
}

// Whatever is an image's archive, nothing is written but in the store, and what is
// refused leaves nothing there.
func FuzzLoadArchive(f *testing.F) {
	f.Add(archiveOf(f, "manifest.json", `[{"Config":"c.json","RepoTags":["a:b"],"Layers":["l.tar"]}]`, "c.json", `{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":["sha256:x"]}}`, "l.tar", "x"))
	f.Add(archiveOf(f, "manifest.json", `[{"Config":"../../etc/passwd","Layers":["../x"]}]`))
	f.Add(archiveOf(f, "oci-layout", `{"imageLayoutVersion":"1.0.0"}`, "index.json", `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"sha256:`+strings.Repeat("0", 64)+`","size":2}]}`, "blobs/sha256/"+strings.Repeat("0", 64), "{}"))
	f.Add(archiveOf(f, "oci-layout", "", "../outside", "x", "blobs/../../outside", "x", "index.json", "{}"))
	f.Add([]byte("no archive"))
	f.Fuzz(func(t *testing.T, archive []byte) {
		s, checkBeside := openFuzzStore(t)
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "image.tar"), archive, 0o600); err != nil {
			t.Fatal(err)
		}
		image, err := s.Load(t.Context(), dir, fuzzPlatform)
		checkBeside()
		if err == nil {
			image.Release()
			return
		}
		for _, sub := range []string{"images", "tmp"} {
			if there, err := os.ReadDir(filepath.Join(s.dir, sub)); err != nil || len(there) > 0 {
				t.Errorf("%s has %v (%v)", sub, there, err)
			}
		}
	})
}

// Whatever describes a rootfs is a configuration or an error.
func FuzzMetadata(f *testing.F) {
	for _, text := range []string{`{"env":["A=b"],"user":"root","workdir":"/x","entrypoint":["a"],"cmd":["b"]}`, `{"env":"A"}`, `{"user":0}`, `[]`, ``, `{}{}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := errors.Join(os.Mkdir(filepath.Join(dir, "rootfs"), 0o755), os.WriteFile(filepath.Join(dir, "metadata.json"), text, 0o600)); err != nil {
			t.Fatal(err)
		}
		image, err := loadRootfs(dir)
		if (image == nil) == (err == nil) {
			t.Errorf("it gave %v and %v", image, err)
		}
	})
}

// fakeRegistry answers as a registry that says these things, to whatever it is asked.
type fakeRegistry struct {
	challenge, mediaType, digest string
	token, manifest              []byte
	asked                        int
}

func (r *fakeRegistry) RoundTrip(request *http.Request) (*http.Response, error) {
	r.asked++
	response := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: request}
	body := r.manifest
	switch {
	case r.asked > 64:
		return nil, errors.New("it is asked without end")
	case request.URL.Path == "/v2/":
		response.StatusCode = http.StatusUnauthorized
		response.Header.Set("Www-Authenticate", r.challenge)
		body = nil
	case !strings.HasPrefix(request.URL.Path, "/v2/"):
		body = r.token
	default:
		response.Header.Set("Content-Type", r.mediaType)
		response.Header.Set("Docker-Content-Digest", r.digest)
	}
	response.ContentLength = int64(len(body))
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}

// Whatever a registry answers, the user's password goes to no other host in the clear,
// and a manifest of another digest is not taken.
func FuzzRegistry(f *testing.F) {
	const (
		manifest = `{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{"mediaType":"application/vnd.docker.container.image.v1+json","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},"layers":[]}`
		mediaTyp = "application/vnd.docker.distribution.manifest.v2+json"
	)
	zeros := "sha256:" + strings.Repeat("0", 64)
	f.Add(`Bearer realm="https://auth.example/token",service="s"`, mediaTyp, zeros, []byte(`{"token":"t"}`), []byte(manifest))
	f.Add(`Basic realm="x"`, "application/vnd.oci.image.index.v1+json", zeros, []byte(`{}`), []byte(`{"manifests":[{"digest":"sha256:x"}]}`))
	f.Add(`Bearer realm=`, "", "", []byte(``), []byte(``))
	f.Add(`Bearer`, "text/html", "x", []byte(`[]`), []byte(`<html>`))
	f.Fuzz(func(t *testing.T, challenge, mediaType, digest string, token, manifest []byte) {
		s, checkBeside := openFuzzStore(t)
		reference, err := name.ParseReference("registry.example/a/b:c")
		if err != nil {
			t.Fatal(err)
		}
		transport := &fakeRegistry{challenge: challenge, mediaType: mediaType, digest: digest, token: token, manifest: manifest}
		source := Source{Repository: "registry.example/a/b", Tag: "c", Platform: fuzzPlatform}
		image, err := s.pull(t.Context(), source, reference, transport, authn.NewMultiKeychain(), nil)
		checkBeside()
		if err == nil {
			t.Errorf("it gave %+v, which has no layer that was sent", image)
		}
	})
}
