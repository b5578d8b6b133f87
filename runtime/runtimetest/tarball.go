package runtimetest

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// entry is an entry of a tar stream and its contents.
type entry struct {
	tar.Header
	contents string
}

// longAgo is the modification time of entries that are given no other.
var longAgo = time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)

func tarFile(name string, mode int64, contents string) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(contents)), ModTime: longAgo}, contents}
}

func tarDir(name string, mode int64) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode, ModTime: longAgo}}
}

func tarSymlink(name, target string) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777, ModTime: longAgo}}
}

func tarLink(name, target string) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644, ModTime: longAgo}}
}

func tarOther(kind byte, name string) entry {
	return entry{Header: tar.Header{Typeflag: kind, Name: name, Mode: 0o644, ModTime: longAgo, Devmajor: 1, Devminor: 3}}
}

// tarOf makes a tar stream.
func tarOf(t *testing.T, entries ...entry) io.Reader {
	t.Helper()
	return bytes.NewReader(tarBytes(t, entries...))
}

func tarBytes(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var stream bytes.Buffer
	w := tar.NewWriter(&stream)
	for _, entry := range entries {
		check(t, w.WriteHeader(&entry.Header))
		_, err := io.WriteString(w, entry.contents)
		check(t, err)
	}
	check(t, w.Close())
	return stream.Bytes()
}

// readTar reads a tar stream to its end.
func readTar(t *testing.T, stream io.ReadCloser) []entry {
	t.Helper()
	defer stream.Close()
	var entries []entry
	for r := tar.NewReader(stream); ; {
		header, err := r.Next()
		if err == io.EOF {
			return entries
		}
		check(t, err)
		contents, err := io.ReadAll(r)
		check(t, err)
		entries = append(entries, entry{*header, string(contents)})
	}
}

// listing describes entries for comparison: names and what a stream must keep.
func listing(entries []entry) string {
	var lines strings.Builder
	for _, entry := range entries {
		name := strings.TrimSuffix(strings.TrimPrefix(entry.Name, "./"), "/")
		if name == "" {
			continue
		}
		switch entry.Typeflag {
		case tar.TypeDir:
			fmt.Fprintf(&lines, "%s dir %o\n", name, entry.Mode)
		case tar.TypeSymlink:
			fmt.Fprintf(&lines, "%s -> %s\n", name, entry.Linkname)
		case tar.TypeLink:
			fmt.Fprintf(&lines, "%s = %s\n", name, strings.TrimPrefix(entry.Linkname, "./"))
		default:
			fmt.Fprintf(&lines, "%s %c %o %q\n", name, entry.Typeflag, entry.Mode, entry.contents)
		}
	}
	return lines.String()
}

// randomBytes gives bytes that neither compress nor repeat, the same at each call.
func randomBytes(size int) []byte {
	made := make([]byte, size)
	rand.NewChaCha8([32]byte{1}).Read(made)
	return made
}
