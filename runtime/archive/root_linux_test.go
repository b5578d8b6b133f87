package archive_test

import (
	"archive/tar"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"midge/runtime/archive"
)

// openRoot opens a directory as somebody's root.
func openRoot(t *testing.T, dir string) archive.Tree {
	t.Helper()
	root, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	tree := archive.RootTree(root)
	t.Cleanup(func() { tree.Close() })
	return tree
}

// secretBeside makes a directory with a file beside it, to which no link in it may lead.
func secretBeside(t *testing.T) (dir, secret string) {
	t.Helper()
	top := t.TempDir()
	dir, secret = filepath.Join(top, "root"), filepath.Join(top, "secret")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, secret
}

func TestRootTreeIsNotLeft(t *testing.T) {
	dir, secret := secretBeside(t)
	for name, target := range map[string]string{"up": "../secret", "absolute": secret, "out": "..", "top": "/", "far": "../../../../../../etc/passwd"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	tree := openRoot(t, dir)
	for _, name := range []string{"up", "absolute", "out/secret", "../secret", "/../secret", "far", "top/secret", secret} {
		if info, err := tree.Stat(name); err == nil {
			t.Errorf("Stat of %q found %s", name, info.Name())
		}
		if file, err := tree.Open(name); err == nil {
			file.Close()
			t.Errorf("Open of %q gave a file", name)
		}
	}
	if err := tree.Remove("out/secret"); err == nil {
		t.Error("what is beside the root was removed")
	}
	for name, change := range map[string]func() error{
		"Mkdir":   func() error { return tree.Mkdir("out/dir") },
		"Symlink": func() error { return tree.Symlink("x", "/../link") },
		"Create": func() error {
			file, err := tree.Create("top/out/file")
			if err == nil {
				err = file.Close()
			}
			return err
		},
	} {
		if err := change(); err != nil {
			t.Errorf("%s through a link gave %v; it should be made inside", name, err)
		}
	}
	for _, name := range []string{"dir", "link", "file"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	if err := tree.Chmod("up", 0o777); err == nil {
		t.Error("the permissions of a link were changed")
	}
}

// In a root that has /proc, links of it lead to any file of the machine.
func TestRootTreeOfTheMachine(t *testing.T) {
	tree := openRoot(t, "/")
	for _, name := range []string{"proc/self/root/etc/passwd", "proc/self/exe", "proc/self/fd/0", "proc/1/root"} {
		if _, err := tree.Stat(name); err == nil {
			t.Errorf("%s leads somewhere", name)
		}
	}
	if entries, err := tree.ReadDir("proc"); err != nil || len(entries) > 0 {
		t.Errorf("/proc has %d entries, and the error is %v", len(entries), err)
	}
	if file, err := tree.Open("proc/version"); err == nil {
		file.Close()
		t.Error("a file of /proc was opened")
	}
}

func TestRootTreeOpensFilesAlone(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	tree := openRoot(t, dir)
	for _, name := range []string{"pipe", "."} { // a pipe would wait for a writer
		if file, err := tree.Open(name); err == nil {
			file.Close()
			t.Errorf("%q was opened", name)
		}
	}
	files, err := archive.List(tree, ".")
	if err != nil || len(files) != 1 || files[0].Type != "other" {
		t.Errorf("got %+v, %v; want the pipe described", files, err)
	}
}

// A container may change what lies on the way while it is looked at.
func TestRootTreeAgainstRaces(t *testing.T) {
	dir, _ := secretBeside(t)
	if err := os.Mkdir(filepath.Join(dir, "way"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../..", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	tree := openRoot(t, dir)
	done := make(chan struct{})
	var swapping sync.WaitGroup
	swapping.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			_ = unix.Renameat2(unix.AT_FDCWD, filepath.Join(dir, "way"), unix.AT_FDCWD, filepath.Join(dir, "link"), unix.RENAME_EXCHANGE)
		}
	})
	for range 2000 {
		for _, name := range []string{"way/secret", "way/../secret", "link/../way/secret"} {
			if _, err := tree.Stat(name); err == nil {
				t.Errorf("%s was found", name)
			}
		}
		if err := tree.Remove("way/secret"); err == nil {
			t.Error("what is beside the root was removed")
		}
	}
	close(done)
	swapping.Wait()
}

func TestRootTreeAsATree(t *testing.T) {
	dir := t.TempDir()
	want := []tar.Header{
		{Typeflag: tar.TypeDir, Name: "a/", Mode: 0o555}, {Typeflag: tar.TypeReg, Name: "a/file", Linkname: "content", Mode: 0o4755},
		{Typeflag: tar.TypeLink, Name: "a/second", Linkname: "a/file"}, {Typeflag: tar.TypeSymlink, Name: "link", Linkname: "/nowhere"},
		{Typeflag: tar.TypeReg, Name: "plain", Linkname: "x", Mode: 0o600},
	}
	if err := archive.ExtractTree(t.Context(), stream(t, want...), openRoot(t, dir), archive.Options{}); err != nil {
		t.Fatal(err)
	}
	reader, writer := io.Pipe()
	go func() { writer.CloseWithError(archive.WriteTree(t.Context(), writer, openRoot(t, dir), "/")) }()
	entries := tar.NewReader(reader)
	if top, err := entries.Next(); err != nil || top.Name != "./" {
		t.Fatalf("the stream begins with %v, %v", top, err)
	}
	for _, header := range want {
		got, err := entries.Next()
		if err != nil {
			t.Fatal(err)
		}
		if got.Name != header.Name || got.Typeflag != header.Typeflag || header.Mode != 0 && got.Mode != header.Mode {
			t.Errorf("got %s of type %c with mode %o, want %s of type %c with mode %o",
				got.Name, got.Typeflag, got.Mode, header.Name, header.Typeflag, header.Mode)
		}
	}
	if _, err := entries.Next(); err != io.EOF {
		t.Errorf("the stream ends with %v", err)
	}
	if err := openRoot(t, dir).Remove("a"); err == nil {
		t.Error("a directory that is not empty was removed")
	}
	for _, name := range []string{"a/second", "a/file", "a"} {
		if err := openRoot(t, dir).Remove(name); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "a")); !os.IsNotExist(err) {
		t.Errorf("what was removed is there: %v", err)
	}
}
