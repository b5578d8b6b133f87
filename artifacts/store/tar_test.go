package store

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"midge/runtime"
)

// tarWith makes a tar stream of entries; a file's content is its name.
func tarWith(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, header := range headers {
		if header.Typeflag == tar.TypeReg {
			header.Size = int64(len(header.Name))
		}
		must(t, w.WriteHeader(&header))
		if header.Typeflag == tar.TypeReg {
			_, err := io.WriteString(w, header.Name)
			must(t, err)
		}
	}
	must(t, w.Close())
	return b.Bytes()
}

func file(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644} }
func dirEntry(name string) tar.Header {
	return tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o750}
}
func link(kind byte, name, target string) tar.Header {
	return tar.Header{Typeflag: kind, Name: name, Linkname: target}
}

// checkNothingLeft fails the test when something of what was refused is in the store.
func checkNothingLeft(t testing.TB, s *Store) {
	t.Helper()
	for _, name := range []string{packsDir, temporaryDir} {
		entries, err := os.ReadDir(filepath.Join(s.dir, name))
		must(t, err)
		if len(entries) > 0 {
			t.Errorf("%s has %v", name, entries)
		}
	}
	if len(s.index) > 0 {
		t.Errorf("%d objects are known", len(s.index))
	}
	if len(s.keepers) > 0 {
		t.Errorf("%d keepers are open", len(s.keepers))
	}
}

func TestTarIsRefused(t *testing.T) {
	large := tarWith(t, file("a"), file("b"))
	s := open(t, Options{})
	for name, c := range map[string]struct {
		content []byte
		entry   string
	}{
		"no tar":                 {[]byte(strings.Repeat("no tar at all", 100)), ""},
		"cut in a header":        {large[:700], ""},
		"cut in a file":          {large[:512], "a"},
		"cut in the padding":     {large[:513], ""},
		"cut between files":      {large[:1024], ""},
		"cut before its end":     {large[:2048], ""},
		"nothing":                {nil, ""},
		"absolute":               {tarWith(t, file("/etc/passwd")), "/etc/passwd"},
		"dot dot":                {tarWith(t, file("a/../../b")), "a/../../b"},
		"dot dot at the end":     {tarWith(t, dirEntry("a/..")), "a/.."},
		"long name":              {tarWith(t, file(strings.Repeat("n", 256))), strings.Repeat("n", 256)},
		"long path":              {tarWith(t, file(strings.Repeat("n/", 2100)+"n")), strings.Repeat("n/", 2100) + "n"},
		"character device":       {tarWith(t, tar.Header{Typeflag: tar.TypeChar, Name: "dev"}), "dev"},
		"block device":           {tarWith(t, tar.Header{Typeflag: tar.TypeBlock, Name: "dev"}), "dev"},
		"named pipe":             {tarWith(t, tar.Header{Typeflag: tar.TypeFifo, Name: "pipe"}), "pipe"},
		"file as directory":      {tarWith(t, file("a"), file("a/b")), "a/b"},
		"through a symlink":      {tarWith(t, link(tar.TypeSymlink, "a", "/etc"), file("a/passwd")), "a/passwd"},
		"file for a directory":   {tarWith(t, file("a/b"), file("a")), "a"},
		"file for the top":       {tarWith(t, file(".")), "."},
		"hard link to nothing":   {tarWith(t, link(tar.TypeLink, "a", "b")), "a"},
		"hard link out":          {tarWith(t, link(tar.TypeLink, "a", "../b")), "a"},
		"absolute hard link":     {tarWith(t, link(tar.TypeLink, "a", "/etc/passwd")), "a"},
		"hard link to a dir":     {tarWith(t, dirEntry("d/"), link(tar.TypeLink, "a", "d")), "a"},
		"symlink without target": {tarWith(t, link(tar.TypeSymlink, "a", "")), "a"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, _, err := s.IngestTar(t.Context(), mainTeam, bytes.NewReader(c.content))
			var refused *runtime.TarError
			if !errors.As(err, &refused) || refused.Entry != c.entry {
				t.Errorf("got %v", err)
			}
			checkNothingLeft(t, s)
		})
	}
}

func TestTarOddities(t *testing.T) {
	s := open(t, Options{})
	content := tarWith(t,
		tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "x"}},
		dirEntry("./"),
		file("./z/first"),
		file("again"),
		dirEntry("again2/"), link(tar.TypeSymlink, "again2", "elsewhere"),
		link(tar.TypeLink, "a/second", "z/first"),
		link(tar.TypeSymlink, "again", "/absolute"),
		dirEntry("z"),
		link(tar.TypeLink, "z/third", "./a/second"),
	)
	digest, files, size, err := s.IngestTar(t.Context(), mainTeam, bytes.NewReader(content))
	must(t, err)
	if files != 5 || size != int64(len("./z/first")) {
		t.Errorf("%d files of %d bytes", files, size)
	}
	a, err := s.Open(t.Context(), mainTeam, digest)
	must(t, err)
	var got []string
	r := tar.NewReader(bytes.NewReader(tarOf(t, a, ".")))
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		got = append(got, header.FileInfo().Mode().String()+" "+header.Name+" "+header.Linkname)
	}
	want := []string{"drwxr-xr-x a/ ", "-rw-r--r-- a/second ", "Lrwxrwxrwx again /absolute", "Lrwxrwxrwx again2 elsewhere",
		"drwxr-x--- z/ ", "-rw-r--r-- z/first a/second", "-rw-r--r-- z/third a/second"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	// A part of it has no link out of itself.
	if got := tarNames(t, tarOf(t, a, "z")); !slices.Equal(got, []string{"first", "third"}) {
		t.Errorf("got %q", got)
	}
}

func TestTreeThatIsTooLarge(t *testing.T) {
	s := open(t, Options{MaxArtifactSize: 3000})
	source := t.TempDir()
	for _, name := range []string{"a", "b"} {
		must(t, os.WriteFile(filepath.Join(source, name), bytesOf(1, 1501), 0o644))
	}
	var tooLarge *SizeError
	if _, _, _, err := s.Ingest(t.Context(), mainTeam, localDir(source)); !errors.As(err, &tooLarge) || tooLarge.Size != 3002 {
		t.Errorf("got %v", err)
	}
	checkNothingLeft(t, s)
	other := open(t, Options{})
	a, err := other.Open(t.Context(), mainTeam, ingest(t, other, mainTeam, source))
	must(t, err)
	if _, _, _, err := s.IngestTar(t.Context(), mainTeam, bytes.NewReader(tarOf(t, a, "."))); !errors.As(err, &tooLarge) {
		t.Errorf("got %v", err)
	}
	checkNothingLeft(t, s)
}

func FuzzIngestTar(f *testing.F) {
	f.Add(tarWith(f, file("a"), dirEntry("d/"), link(tar.TypeLink, "d/b", "a"), link(tar.TypeSymlink, "d/c", "..")))
	f.Add(tarWith(f, file("../x")))
	// Each input is stored and synced, which a disk takes its time for.
	s, err := Open(memoryDisk(f, "1g"), Options{MaxArtifactSize: 1 << 20})
	must(f, err)
	f.Cleanup(func() { must(f, s.Close()) })
	f.Fuzz(func(t *testing.T, content []byte) {
		digest, _, _, err := s.IngestTar(t.Context(), mainTeam, bytes.NewReader(content))
		if err != nil {
			return
		}
		a, err := s.Open(t.Context(), mainTeam, digest)
		must(t, err)
		again, _, _, err := s.IngestTar(t.Context(), mainTeam, bytes.NewReader(tarOf(t, a, ".")))
		if err != nil || again != digest {
			t.Errorf("its own stream is %s, %v", again, err)
		}
	})
}
