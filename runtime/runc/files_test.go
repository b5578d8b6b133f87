package runc_test

import (
	"archive/tar"
	"bytes"
	"testing"

	"midge/runtime"
	"midge/runtime/runc"
)

// What is put into a container belongs to whom the directory does, so that a task that
// is not root's can use it, and the owners are listed as the container has them.
func TestFilesBelongToTheDirectorysOwner(t *testing.T) {
	for name, change := range map[string]func(*runc.Options){
		"Shifted": func(*runc.Options) {},
		"Copied":  func(o *runc.Options) { o.CopyInputs = true },
	} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, newWorker(t, change), runtime.ContainerSpec{User: "nobody"})
			if status := wait(t, run(t, c, "own", "mkdir mine && chmod 700 mine")); status.Code != 0 {
				t.Fatalf("got status %+v", status)
			}
			var archive bytes.Buffer
			w := tar.NewWriter(&archive)
			if err := w.WriteHeader(&tar.Header{Name: "dir/file", Typeflag: tar.TypeReg, Mode: 0o600}); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if err := c.Files().StreamIn(t.Context(), "mine/new", &archive); err != nil {
				t.Fatal(err)
			}
			if status := wait(t, run(t, c, "write", "echo hello >>mine/new/dir/file && rm -r mine/new/dir && mkdir mine/new/dir")); status.Code != 0 {
				t.Errorf("who owns the directory could not change what was put there: %+v", status)
			}
			files, err := c.Files().List(t.Context(), "mine/new")
			if err != nil || len(files) != 1 || files[0].UID != 65534 || files[0].GID != 65534 {
				t.Errorf("got %+v, %v; want one directory of nobody's", files, err)
			}
		})
	}
}
