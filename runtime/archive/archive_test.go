package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"midge/runtime"
	"midge/runtime/archive"
)

// That streams are refused, kept and stable is tested on every kind of volume by
// runtime/runtimetest. What is here is about directories of this machine.

// inside makes a directory with another beside it that must stay as it is.
func inside(t testing.TB) (dir string, checkOutside func()) {
	t.Helper()
	base := t.TempDir()
	dir = filepath.Join(base, "inside")
	outside := filepath.Join(base, "outside")
	for _, made := range []string{dir, outside} {
		if err := os.Mkdir(made, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(outside, "file"), []byte("untouched"), 0o640); err != nil {
		t.Fatal(err)
	}
	before := describe(t, base, "inside")
	return dir, func() {
		t.Helper()
		if after := describe(t, base, "inside"); after != before {
			t.Errorf("outside was\n%s\nand is now\n%s", before, after)
		}
	}
}

// describe lists what lies below a directory but below what is left out.
func describe(t testing.TB, dir, leftOut string) string {
	t.Helper()
	var lines strings.Builder
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if name != "." && name != leftOut {
			contents := ""
			if info.Mode().IsRegular() {
				data, err := os.ReadFile(filepath.Join(dir, name))
				if err != nil {
					return err
				}
				contents = string(data)
			}
			lines.WriteString(strings.Join([]string{name, info.Mode().String(), info.ModTime().String(), contents}, " ") + "\n")
		}
		if name == leftOut {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines.String()
}

// stream makes a tar stream; the contents of a file are its header's Linkname.
func stream(t testing.TB, headers ...tar.Header) *bytes.Buffer {
	t.Helper()
	var made bytes.Buffer
	w := tar.NewWriter(&made)
	for _, header := range headers {
		contents := ""
		if header.Typeflag == tar.TypeReg {
			contents, header.Linkname = header.Linkname, ""
			header.Size = int64(len(contents))
		}
		if header.Mode == 0 {
			header.Mode = 0o644
		}
		if err := w.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, contents); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &made
}

func file(name, contents string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Linkname: contents}
}

func symlink(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target}
}

func TestExtractConfinesLinks(t *testing.T) {
	for _, test := range []struct {
		name, target string
		refused      bool
	}{
		{"link", "file", false},
		{"a/link", "../file", false},
		{"a/b/link", "../../file", false},
		{"link", "a/../file", false},
		{"link", "/etc/passwd", true},
		{"link", "../outside/file", true},
		{"a/link", "../../outside", true},
		{"link", "a/../../outside", true},
		{"link", "..", true},
	} {
		dir, checkOutside := inside(t)
		err := archive.Extract(t.Context(), stream(t, symlink(test.name, test.target)), dir, archive.Options{ConfineLinks: true})
		var refused *runtime.TarError
		if errors.As(err, &refused) != test.refused {
			t.Errorf("a link %s to %s gave %v", test.name, test.target, err)
		}
		checkOutside()
	}
}

func TestExtractBelow(t *testing.T) {
	dir, checkOutside := inside(t)
	headers := []tar.Header{file("a", "contents"), {Typeflag: tar.TypeLink, Name: "b", Linkname: "a"}, symlink("up", "../above")}
	options := archive.Options{Path: "x/y", ConfineLinks: true}
	err := archive.Extract(t.Context(), stream(t, headers...), dir, options)
	var refused *runtime.TarError
	if !errors.As(err, &refused) || refused.Entry != "up" {
		t.Errorf("a link above the path gave %v", err)
	}
	linked, err := os.Stat(filepath.Join(dir, "x/y/b"))
	if err != nil {
		t.Fatal(err)
	}
	if first, err := os.Stat(filepath.Join(dir, "x/y/a")); err != nil || !os.SameFile(first, linked) {
		t.Errorf("the hard link is another file (%v)", err)
	}
	checkOutside()
}

func TestExtractDropsSetID(t *testing.T) {
	for _, drop := range []bool{false, true} {
		dir := t.TempDir()
		header := file("tool", "x")
		header.Mode = 0o4755
		if err := archive.Extract(t.Context(), stream(t, header), dir, archive.Options{DropSetID: drop}); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(dir, "tool"))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode()&fs.ModeSetuid == 0; got != drop || info.Mode().Perm() != 0o755 {
			t.Errorf("with DropSetID %t the mode is %v", drop, info.Mode())
		}
	}
}

func TestExtractBoundsSize(t *testing.T) {
	headers := []tar.Header{file("a", "12345"), file("b", "67890")}
	if err := archive.Extract(t.Context(), stream(t, headers...), t.TempDir(), archive.Options{MaxBytes: 10}); err != nil {
		t.Errorf("10 bytes of 10 gave %v", err)
	}
	err := archive.Extract(t.Context(), stream(t, headers...), t.TempDir(), archive.Options{MaxBytes: 9})
	var refused *runtime.TarError
	if !errors.As(err, &refused) || refused.Entry != "b" {
		t.Errorf("10 bytes of 9 gave %v", err)
	}
}

// TestExtractTop has the top get the permissions that the stream has for it.
func TestExtractTop(t *testing.T) {
	dir, checkOutside := inside(t)
	modified := time.Unix(1e9, 0)
	top := tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o750, ModTime: modified}
	if err := archive.Extract(t.Context(), stream(t, top, file("a", "x")), dir, archive.Options{}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o750 || !info.ModTime().Equal(modified) {
		t.Errorf("the top has mode %v and time %v", info.Mode(), info.ModTime())
	}
	checkOutside()
}

func TestExtractWhereNothingIs(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	if err := archive.Extract(t.Context(), stream(t), missing, archive.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that is missing gave %v", err)
	}
	for _, name := range []string{"..", "/", "/tmp", "a/../.."} {
		dir, checkOutside := inside(t)
		if err := archive.Extract(t.Context(), stream(t, file("a", "x")), dir, archive.Options{Path: name}); err == nil {
			t.Errorf("path %q gave no error", name)
		}
		checkOutside()
	}
}

// TestExtractAgainstRaces has somebody put a link that leads outside in the place
// of a directory, and back, while entries go through it.
func TestExtractAgainstRaces(t *testing.T) {
	dir, checkOutside := inside(t)
	dirty := filepath.Join(dir, "dir")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			os.RemoveAll(dirty)
			os.Symlink("../outside", dirty)
			os.Remove(dirty)
			os.Mkdir(dirty, 0o755)
		}
	}()
	var headers []tar.Header
	for i := range 50 {
		name := "dir/" + string(rune('a'+i%26))
		headers = append(headers, file(name, "escaped"), file("other", "x"), symlink(name+"link", "x"),
			tar.Header{Typeflag: tar.TypeLink, Name: name + "hard", Linkname: "other"},
			tar.Header{Typeflag: tar.TypeDir, Name: name + "dir/", Mode: 0o700})
	}
	contents := stream(t, headers...).Bytes()
	for range 40 {
		// It may fail or not: what counts is what is outside.
		archive.Extract(t.Context(), bytes.NewReader(contents), dir, archive.Options{})
	}
	close(stop)
	<-stopped
	checkOutside()
}

// fullTree is a tree on a disk that is full.
type fullTree struct{ archive.Tree }

type fullFile struct{ archive.File }

func (t fullTree) Create(name string) (archive.File, error) {
	file, err := t.Tree.Create(name)
	return fullFile{file}, err
}

func (fullFile) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestExtractToAFullDisk(t *testing.T) {
	tree, err := archive.OpenTree(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	err = archive.ExtractTree(t.Context(), stream(t, file("a", "contents")), fullTree{tree}, archive.Options{})
	var refused *runtime.TarError
	if !errors.Is(err, syscall.ENOSPC) || errors.As(err, &refused) {
		t.Errorf("the error is %v (%T): it is not the stream's fault", err, err)
	}
}

// brokenReader gives an error of the network after some bytes.
type brokenReader struct{ io.Reader }

func (r brokenReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == io.EOF {
		err = syscall.ECONNRESET
	}
	return n, err
}

func TestExtractFromABrokenConnection(t *testing.T) {
	whole := stream(t, file("a", strings.Repeat("x", 5000))).Bytes()
	err := archive.Extract(t.Context(), brokenReader{bytes.NewReader(whole[:3000])}, t.TempDir(), archive.Options{})
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the error is %v, want %v", err, syscall.ECONNRESET)
	}
}

// TestTheMachinesTar has the machine's own tar make streams in each of its
// formats, and read ours.
func TestTheMachinesTar(t *testing.T) {
	source := t.TempDir()
	sample(t, source)
	want := written(t, source, ".")
	for _, format := range []string{"gnu", "oldgnu", "pax", "posix"} {
		for _, sparse := range []string{"--sparse", "--no-xattrs"} {
			args := []string{sparse, "--format=" + format, "--sort=name", "-C", source, "-cf", "-", "."}
			made, err := exec.Command("tar", args...).Output()
			if err != nil {
				t.Fatalf("tar %v: %v", args, err)
			}
			target := t.TempDir()
			if err := archive.Extract(t.Context(), bytes.NewReader(made), target, archive.Options{}); err != nil {
				t.Errorf("tar %v: %v", args, err)
				continue
			}
			if got := written(t, target, "."); !bytes.Equal(got, want) {
				t.Errorf("tar %v: the tree became another", args)
			}
		}
	}
	target := t.TempDir()
	unpack := exec.Command("tar", "-C", target, "-xpf", "-")
	unpack.Stdin = bytes.NewReader(want)
	if output, err := unpack.CombinedOutput(); err != nil || len(output) > 0 {
		t.Fatalf("tar does not take our stream: %v\n%s", err, output)
	}
	if got := written(t, target, "."); !bytes.Equal(got, want) {
		t.Error("tar makes another tree of our stream")
	}
}

// sample makes a tree with something of every kind.
func sample(t testing.TB, dir string) {
	t.Helper()
	long := strings.Repeat("long-name/", 30)
	for _, step := range []error{
		os.MkdirAll(filepath.Join(dir, long), 0o755),
		os.WriteFile(filepath.Join(dir, long, strings.Repeat("f", 150)), []byte("deep"), 0o644),
		os.WriteFile(filepath.Join(dir, "file"), []byte("contents"), 0o640),
		os.WriteFile(filepath.Join(dir, "holes"), nil, 0o600),
		os.Truncate(filepath.Join(dir, "holes"), 1<<20),
		os.Link(filepath.Join(dir, "file"), filepath.Join(dir, "second name")),
		os.Symlink("/etc/passwd", filepath.Join(dir, "absolute")),
		os.Symlink(strings.Repeat("x/", 120), filepath.Join(dir, "long-target")),
		os.Mkdir(filepath.Join(dir, "empty"), 0o700),
		os.WriteFile(filepath.Join(dir, "ünï côdé"), []byte("\x00\xff"), 0o444),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
}

func written(t testing.TB, dir, name string) []byte {
	t.Helper()
	var made bytes.Buffer
	if err := archive.Write(t.Context(), &made, dir, name); err != nil {
		t.Fatal(err)
	}
	return made.Bytes()
}

func names(t *testing.T, stream []byte) string {
	t.Helper()
	var found []string
	for r := tar.NewReader(bytes.NewReader(stream)); ; {
		header, err := r.Next()
		if err == io.EOF {
			return strings.Join(found, " ")
		}
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, header.Name)
	}
}

func TestWriteEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	sample(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := archive.Write(ctx, io.Discard, dir, "."); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v, want %v", err, context.Canceled)
	}
}

// shrinkingTree says of its files that they are longer than they are.
type shrinkingTree struct{ archive.Tree }

func (t shrinkingTree) Open(string) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("short")), nil
}

func TestWriteOfAFileThatShrinks(t *testing.T) {
	dir := t.TempDir()
	sample(t, dir)
	tree, err := archive.OpenTree(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	if err := archive.WriteTree(t.Context(), io.Discard, shrinkingTree{tree}, "."); err == nil {
		t.Error("it gave no error")
	}
}
