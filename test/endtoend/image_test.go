package endtoend

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// busybox is an image of two layers that says who it is, the second of them twice.
func busybox(t *testing.T, says string) v1.Image {
	t.Helper()
	program, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image,
		layer(t, "bin/sh", string(program)), layer(t, "etc/image", says+"\n"), layer(t, "etc/image", says+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", goruntime.GOARCH
	file.Config.Env = []string{"PATH=/bin", "FROM=" + says}
	file.Config.Entrypoint, file.Config.Cmd = []string{"/bin/sh", "-c"}, []string{"echo the command of $FROM"}
	if image, err = mutate.ConfigFile(image, file); err != nil {
		t.Fatal(err)
	}
	return image
}

// layer is a layer of one file.
func layer(t *testing.T, path, content string) v1.Layer {
	t.Helper()
	var stream bytes.Buffer
	w := tar.NewWriter(&stream)
	for _, header := range []tar.Header{
		{Name: filepath.Dir(path) + "/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: path, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(content))},
	} {
		if err := w.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	made, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(stream.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// startRegistry starts Debian's docker-registry and gives its address.
func startRegistry(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	config := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %q}\n", dir, address)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	said := new(output)
	registry := exec.Command("docker-registry", "serve", config)
	registry.Stdout, registry.Stderr = said, said
	if err := registry.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		registry.Process.Kill()
		registry.Wait()
		if t.Failed() {
			t.Logf("the registry's log:\n%s", said)
		}
	})
	eventually(t, "the registry is ready", func() error {
		response, err := http.Get("http://" + address + "/v2/")
		if err == nil {
			response.Body.Close()
		}
		return err
	})
	return address
}

func TestImageOfARegistry(t *testing.T) {
	s := startServer(t)
	repository := startRegistry(t) + "/team/busybox"
	push := func(tag, says string) (digest string) {
		t.Helper()
		reference, err := name.ParseReference(repository + ":" + tag)
		if err != nil {
			t.Fatal(err)
		}
		image := busybox(t, says)
		if err := remote.Write(reference, image); err != nil {
			t.Fatal(err)
		}
		pushed, err := image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return pushed.String()[:len("sha256:")+12]
	}
	latest := push("latest", "latest")
	push("old", "old")
	task := s.task("task", "platform: linux\nimage_resource:\n  type: registry-image\n  source: {repository: "+repository+"}\nrun: {path: sh, args: [-c, 'cat /etc/image']}\n")
	s.midge("execute", "-c", task).want(t, 0, "latest\n", "pulling "+repository, "3 of 3 layers")
	if r := s.midge("execute", "-c", task); r.status != 0 || strings.Contains(r.stderr, "pulling") {
		t.Errorf("an image that is there is pulled again:\n%s", r.stderr)
	}
	s.midge("execute", "-c", task, "--image", repository+":old").want(t, 0, "old\n")
	// The command is the image's when the task has none.
	bare := s.task("bare", "platform: linux\n")
	s.midge("execute", "-c", bare, "--image", repository).want(t, 0, "the command of latest")
	s.midge("execute", "-c", task, "--image", repository+":none").wantImageError(t, repository+":none")

	newer := push("latest", "newer")
	s.midge("execute", "-c", task).want(t, 0, "newer\n")
	s.midge("trace", "--compare", "1", "6").want(t, 0, "image "+repository+":latest changed:", latest+" to "+newer)
	s.midge("trace", "--compare", "1", "2").want(t, 0, "unchanged: 1 of 1 inputs and images")
}

func (r result) wantImageError(t *testing.T, words ...string) {
	t.Helper()
	r.want(t, 2, append(words, "no such image")...)
}

func TestImageOfThisMachine(t *testing.T) {
	s := startServer(t)
	image := busybox(t, "local")
	reference, err := name.NewTag("local/busybox:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(s.path("saved.tar"), reference, image); err != nil {
		t.Fatal(err)
	}
	compress(t, s.path("saved.tar"), s.path("saved.tar.gz"))
	if _, err := layout.Write(s.path("layout"), mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: image})); err != nil {
		t.Fatal(err)
	}
	run(t, "tar", "-C", s.path("layout"), "-cf", s.path("oci.tar"), ".")
	s.rootfs("unpacked", image)
	// Nothing of an image is left out, whatever git ignores.
	s.write(map[string]string{"unpacked/.gitignore": "etc\n", "layout/.gitignore": "*\n"})

	task := s.task("task", "platform: linux\nrun: {path: sh, args: [-c, 'cat /etc/image']}\n")
	bare := s.task("bare", "platform: linux\n")
	for _, given := range []string{"saved.tar", "saved.tar.gz", "oci.tar", "layout", "unpacked", "./layout"} {
		t.Run(given, func(t *testing.T) {
			s.midge("execute", "-c", task, "--image", given).want(t, 0, "local\n")
			if given != "unpacked" {
				s.midge("execute", "-c", bare, "--image", given).want(t, 0, "the command of local")
			}
		})
	}
	s.midge("execute", "--from", "1").want(t, 0, "local\n")
}

func TestImageOfAnEarlierBuild(t *testing.T) {
	s := startServer(t)
	s.rootfs("unpacked", busybox(t, "built"))
	build := s.script("build", "cp -a src/. image/", "inputs: [{name: src}]\noutputs: [{name: image}]\n")
	s.midge("execute", "-c", build, "-i", "src=unpacked").want(t, 0)
	task := s.task("task", "platform: linux\nrun: {path: sh, args: [-c, 'cat /etc/image']}\n")
	s.midge("execute", "-c", task, "--image", "@1/image").want(t, 0, "built\n")
}

func TestImagesThatAreNone(t *testing.T) {
	s := startServer(t)
	s.write(map[string]string{"text.tar": "no archive\n", "empty/file": ""})
	task := s.script("task", "true", "")
	for given, want := range map[string]string{
		"./none":   "no such file",
		"none.tar": "no such file",
		"text.tar": "text.tar is no image: it should be",
		"./empty":  "./empty is no image: it should be",
		"bad name": "--image bad name is not understood",
		"name:":    "--image name: is not understood",
		"@1/none":  "build 1",
		"@x":       "is not understood",
	} {
		s.midge("execute", "-c", task, "--image", given).wantError(t, 1, want)
	}
}

// rootfs writes an image as a directory with rootfs and metadata.json.
func (s *server) rootfs(name string, image v1.Image) {
	s.t.Helper()
	s.write(map[string]string{name + "/metadata.json": `{"env":["PATH=/bin"]}`, name + "/rootfs/none": ""})
	stream := mutate.Extract(image)
	defer stream.Close()
	unpack := exec.Command("tar", "-C", s.path(name+"/rootfs"), "-x")
	unpack.Stdin = stream
	if out, err := unpack.CombinedOutput(); err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
}

func run(t *testing.T, program string, args ...string) {
	t.Helper()
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

func compress(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, packed.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
