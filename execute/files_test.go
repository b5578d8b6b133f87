package execute

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// git runs git in a directory.
func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	command := exec.Command("git", append([]string{"-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "protocol.file.allow=always"}, args...)...)
	command.Dir = dir
	command.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, output)
	}
}

// archived gives the names in the archive that is made of a directory; directories
// end with a slash.
func archived(t *testing.T, dir string, includeIgnored bool) ([]string, *fileList, error) {
	t.Helper()
	files, err := listFiles(t.Context(), dir, includeIgnored, false)
	if err != nil {
		return nil, files, err
	}
	var packed bytes.Buffer
	var read int64
	if err := writeArchive(t.Context(), &packed, files, func(total int64) { read = total }); err != nil {
		return nil, files, err
	}
	if read != files.bytes {
		t.Errorf("%d bytes were read of %d", read, files.bytes)
	}
	plain, err := decompressor(&packed)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	var names []string
	for reader := tar.NewReader(plain); ; {
		header, err := reader.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if name := strings.TrimPrefix(header.Name, "./"); name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, files, nil
}

func TestWhatIsSent(t *testing.T) {
	t.Setenv("GIT_CONFIG_GLOBAL", "/dev/null")
	t.Setenv("GIT_CONFIG_SYSTEM", "/dev/null")
	dir := workspace(t, map[string]string{
		".gitignore":          "*.log\n/build/\n",
		"main.go":             "package main",
		"kept.log":            "tracked although it is ignored",
		"debug.log":           "ignored",
		"build/out":           "ignored",
		"gone.go":             "tracked and deleted",
		"new.go":              "not tracked yet",
		"with\nnewline":       "a hard name",
		"sub/.gitignore":      "!noise.log\n*.tmp\n",
		"sub/noise.log":       "not ignored after all",
		"sub/a.tmp":           "ignored",
		"empty/":              "",
		"nested/inner.go":     "of another repository",
		"nested/.gitignore":   "inner.log",
		"nested/inner.log":    "ignored there",
		"nested/kept.txt":     "kept",
		"deep/er/file":        "content",
		"deep/er/ignored.log": "ignored",
	})
	git(t, dir, "init", "-q")
	git(t, dir, "add", "-f", ".gitignore", "main.go", "kept.log", "gone.go")
	git(t, dir, "commit", "-q", "-m", "first")
	if err := os.Remove(filepath.Join(dir, "gone.go")); err != nil {
		t.Fatal(err)
	}
	git(t, filepath.Join(dir, "nested"), "init", "-q")

	names, files, err := archived(t, dir, false)
	want := []string{".gitignore", "deep/", "deep/er/", "deep/er/file", "empty/", "kept.log", "main.go",
		"nested/", "nested/.gitignore", "nested/inner.go", "nested/kept.txt",
		"new.go", "sub/", "sub/.gitignore", "sub/noise.log", "with\nnewline"}
	if err != nil || !slices.Equal(names, want) {
		t.Errorf("sent are\n%q, want\n%q, %v", names, want, err)
	}
	if files.count != 11 {
		t.Errorf("%d files are counted", files.count)
	}

	names, _, err = archived(t, filepath.Join(dir, "sub"), false)
	if want := []string{".gitignore", "noise.log"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("of a directory below the top, sent are %q, want %q, %v", names, want, err)
	}

	names, _, err = archived(t, dir, true)
	for _, ignored := range []string{"debug.log", "build/out", "sub/a.tmp", "nested/inner.log", "empty/"} {
		if !slices.Contains(names, ignored) {
			t.Errorf("with ignored files, %s is not sent, %v", ignored, err)
		}
	}
}

func TestSubmodule(t *testing.T) {
	t.Setenv("GIT_CONFIG_GLOBAL", "/dev/null")
	t.Setenv("GIT_CONFIG_SYSTEM", "/dev/null")
	library := workspace(t, map[string]string{"lib.go": "package lib", ".gitignore": "*.o"})
	git(t, library, "init", "-q")
	git(t, library, "add", ".")
	git(t, library, "commit", "-q", "-m", "first")
	dir := workspace(t, map[string]string{"main.go": "package main"})
	git(t, dir, "init", "-q")
	git(t, dir, "submodule", "--quiet", "add", library, "lib")
	if err := os.WriteFile(filepath.Join(dir, "lib", "lib.o"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	names, _, err := archived(t, dir, false)
	want := []string{".gitmodules", "lib/", "lib/.gitignore", "lib/lib.go", "main.go"}
	if err != nil || !slices.Equal(names, want) {
		t.Errorf("sent are %q, want %q, %v", names, want, err)
	}
}

func TestWithoutRepository(t *testing.T) {
	dir := workspace(t, map[string]string{"a": "1", "b/c": "22", "empty/": ""})
	link := filepath.Join(filepath.Dir(dir), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, link} {
		names, files, err := archived(t, path, false)
		if want := []string{"a", "b/", "b/c", "empty/"}; err != nil || !slices.Equal(names, want) {
			t.Errorf("of %s, sent are %q, want %q, %v", path, names, want, err)
		}
		if files.count != 2 || files.bytes != 3 {
			t.Errorf("%d files with %d bytes are counted", files.count, files.bytes)
		}
	}
}

// Rules that cannot be evaluated stop the command: it never sends everything in silence.
func TestIgnoreRulesThatCannotBeKnown(t *testing.T) {
	dir := workspace(t, map[string]string{"a": "1", ".git": "gitdir: /nonexistent"})
	if _, err := listFiles(t.Context(), dir, false, false); err == nil || !strings.Contains(err.Error(), "--include-ignored") {
		t.Errorf("of a broken repository: %v", err)
	}
	if _, err := listFiles(t.Context(), dir, true, false); err != nil {
		t.Errorf("with ignored files: %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := listFiles(t.Context(), dir, false, false); err == nil || !strings.Contains(err.Error(), "install git") {
		t.Errorf("without git: %v", err)
	}
}

func TestDecompressor(t *testing.T) {
	zstdEncoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	var gzipped bytes.Buffer
	w, err := compressor(&gzipped)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, "content")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, packed := range [][]byte{gzipped.Bytes(), zstdEncoder.EncodeAll([]byte("content"), nil)} {
		r, err := decompressor(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		if content, err := io.ReadAll(r); err != nil || string(content) != "content" {
			t.Errorf("%q, %v", content, err)
		}
		r.Close()
	}
	for content, want := range map[string]error{"<html>": errNotCompressed, "": errNotCompressed, "\x28": errNotCompressed} {
		if _, err := decompressor(strings.NewReader(content)); !errors.Is(err, want) {
			t.Errorf("of %q: %v", content, err)
		}
	}
}
