package runtimetest_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"midge/runtime"
	"midge/runtime/runtimetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	runtimetest.Run(t, func(t *testing.T) runtime.Worker {
		return runtimetest.NewWorker(runtimetest.Config{})
	}, runtimetest.Options{Image: runtime.ImageSpec{Host: true}, CanLimitMemory: true, CanLimitPids: true, CanCutOff: true, CanTellChanges: true})
}

// runIn runs a script in a container of an image, and gives its output.
func runIn(t *testing.T, worker *runtimetest.Worker, image runtime.ImageSpec, script string) (string, error) {
	t.Helper()
	container, err := worker.FindOrCreateContainer(t.Context(), runtime.ContainerSpec{Handle: "container", Dir: "/", Image: image})
	if err != nil {
		return "", err
	}
	defer container.Destroy(t.Context())
	process, err := container.Run(t.Context(), runtime.ProcessSpec{ID: "task", Path: "sh", Args: []string{"-c", script}})
	if err != nil {
		return "", err
	}
	reader, err := process.Output(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var output strings.Builder
	for {
		chunk, err := reader.Next()
		if err == io.EOF {
			return output.String(), nil
		}
		if err != nil {
			t.Fatal(err)
		}
		output.Write(chunk.Data)
	}
}

// tree makes a volume with files.
func tree(t *testing.T, worker *runtimetest.Worker, handle string, files map[string]string) runtime.Volume {
	t.Helper()
	volume, err := worker.CreateVolume(t.Context(), handle)
	if err != nil {
		t.Fatal(err)
	}
	var stream bytes.Buffer
	w := tar.NewWriter(&stream)
	for name, contents := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(contents))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, contents); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), volume.StreamIn(t.Context(), ".", &stream)); err != nil {
		t.Fatal(err)
	}
	return volume
}

func TestImages(t *testing.T) {
	shelf := runtimetest.NewWorker(runtimetest.Config{Name: "shelf"})
	small := tree(t, shelf, "small", map[string]string{"etc/passwd": "someone:x:7:7::/home/someone:/bin/sh\n", "readme": "no shell here"})
	worker := runtimetest.NewWorker(runtimetest.Config{
		Images: map[string]runtimetest.Image{
			"busybox": {}, "app": {Env: []string{"APP=yes", "PATH=/bin"}, User: "user"}, "small": {Root: small, User: "someone"},
		},
		Rootfs: map[string]runtime.Artifact{"/images/plain": nil, "/images/small": small},
	})
	registry := func(repository string) runtime.ImageSpec {
		return runtime.ImageSpec{Registry: &runtime.RegistryImage{Type: "registry-image", Source: map[string]any{"repository": repository}}}
	}
	packed := tree(t, worker, "packed", map[string]string{
		"metadata.json": `{"env": ["PACKED=yes"], "user": "someone"}`, "rootfs/etc/passwd": "someone:x:7:7::/:/bin/sh\n",
	})
	bare := tree(t, worker, "bare", map[string]string{"rootfs/file": ""})
	unreadable := tree(t, worker, "unreadable", map[string]string{"rootfs/file": "", "metadata.json": "{"})
	for _, test := range []struct {
		name   string
		image  runtime.ImageSpec
		output string
		err    string
	}{
		{"repository", registry("busybox"), " 0\n", ""},
		{"environment and user", registry("app"), "yes 1000\n", ""},
		{"without a shell", registry("small"), "", `"sh" is in no directory of PATH`},
		{"unknown repository", registry("nothing"), "", `the registry has no image "nothing"`},
		{"no repository", runtime.ImageSpec{Registry: &runtime.RegistryImage{}}, "", "no source.repository"},
		{"rootfs", runtime.ImageSpec{RootfsURI: "raw:///images/plain"}, " 0\n", ""},
		{"rootfs without a shell", runtime.ImageSpec{RootfsURI: "raw:///images/small"}, "", "is in no directory of PATH"},
		{"rootfs elsewhere", runtime.ImageSpec{RootfsURI: "raw:///etc"}, "", "not below a directory that the worker allows"},
		{"rootfs of another form", runtime.ImageSpec{RootfsURI: "docker:///x"}, "", "not of the form raw:///dir"},
		{"artifact", runtime.ImageSpec{Artifact: packed}, "", "is in no directory of PATH"},
		{"artifact without metadata", runtime.ImageSpec{Artifact: bare}, "", "no metadata.json"},
		{"artifact with bad metadata", runtime.ImageSpec{Artifact: unreadable}, "", "metadata.json cannot be read"},
		{"artifact without rootfs", runtime.ImageSpec{Artifact: small}, "", "no rootfs directory"},
	} {
		output, err := runIn(t, worker, test.image, `echo "$APP $(id -u)"`)
		if output != test.output || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s gave %q and %v, want %q and %q", test.name, output, err, test.output, test.err)
		}
	}
	any := runtimetest.NewWorker(runtimetest.Config{})
	for _, image := range []runtime.ImageSpec{registry("whatever"), {RootfsURI: "raw:///any/where"}} {
		if output, err := runIn(t, any, image, "echo runs"); output != "runs\n" || err != nil {
			t.Errorf("a worker that was told of no images gave %q and %v", output, err)
		}
	}
}

func TestEntrypoint(t *testing.T) {
	worker := runtimetest.NewWorker(runtimetest.Config{Images: map[string]runtimetest.Image{
		"app": {Entrypoint: []string{"sh", "-c", `exit $1`, "sh"}, Cmd: []string{"3"}},
	}})
	var progress []string
	container, err := worker.FindOrCreateContainer(t.Context(), runtime.ContainerSpec{
		Handle: "container", Dir: "/", Progress: func(line string) { progress = append(progress, line) },
		Image: runtime.ImageSpec{Registry: &runtime.RegistryImage{Source: map[string]any{"repository": "app"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(progress) != 1 || progress[0] != "fetching image app" {
		t.Errorf("the progress is %q", progress)
	}
	for id, test := range map[string]struct {
		args []string
		code int
	}{"own": {nil, 3}, "given": {[]string{"4"}, 4}} {
		process, err := container.Run(t.Context(), runtime.ProcessSpec{ID: id, Args: test.args})
		if err != nil {
			t.Fatal(err)
		}
		if status, err := process.Wait(t.Context()); err != nil || status.Code != test.code {
			t.Errorf("with arguments %q it gave %+v, %v", test.args, status, err)
		}
	}
}

func TestFail(t *testing.T) {
	broken := errors.New("broken")
	var failing runtimetest.Operation
	worker := runtimetest.NewWorker(runtimetest.Config{Fail: func(operation runtimetest.Operation, _ string) error {
		if operation == failing {
			return broken
		}
		return nil
	}})
	volume := tree(t, worker, "volume", map[string]string{"file": "contents"})
	for operation, do := range map[runtimetest.Operation]func() error{
		runtimetest.CreateContainer: func() error { _, err := runIn(t, worker, runtime.ImageSpec{Host: true}, ":"); return err },
		runtimetest.StartProcess:    func() error { _, err := runIn(t, worker, runtime.ImageSpec{Host: true}, ":"); return err },
		runtimetest.CreateVolume:    func() error { _, err := worker.CreateVolume(t.Context(), "other"); return err },
		runtimetest.StreamIn:        func() error { return volume.StreamIn(t.Context(), ".", strings.NewReader("")) },
		runtimetest.StreamOut:       func() error { _, err := volume.StreamOut(t.Context(), "."); return err },
	} {
		failing = operation
		if err := do(); !errors.Is(err, broken) || !strings.Contains(err.Error(), string(operation)) {
			t.Errorf("%s gave %v", operation, err)
		}
		containers, err := worker.Containers(t.Context())
		if err != nil || len(containers) > 0 {
			t.Errorf("after %s the containers are %v (%v)", operation, containers, err)
		}
		volumes, err := worker.Volumes(t.Context())
		if err != nil || len(volumes) != 1 {
			t.Errorf("after %s the volumes are %v (%v)", operation, volumes, err)
		}
	}
}

func TestInfo(t *testing.T) {
	worker := runtimetest.NewWorker(runtimetest.Config{
		Name: "special", Platform: "darwin", Tags: []string{"tag"}, Team: "team", MaxActiveTasks: 3, Remote: true,
	})
	info, err := worker.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if worker.Name() != "special" || info.Platform != "darwin" || info.Team != "team" || info.MaxActiveTasks != 3 ||
		!info.Remote || len(info.Tags) != 1 || info.Runtime != "memory" {
		t.Errorf("%s is %+v", worker.Name(), info)
	}
}
