package server_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"midge/api"
	"midge/server/servertest"
)

func zstdOf(t *testing.T, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(b, nil)
}

// upload sends an archive and gives the status and the body of the answer.
func (u *user) upload(archive io.Reader) (int, string) {
	u.t.Helper()
	response := u.open("POST", "/api/v1/teams/main/artifacts?platform=linux", nil, archive)
	return response.StatusCode, readAll(u.t, response)
}

func (u *user) mustUpload(archive []byte) api.Artifact {
	u.t.Helper()
	status, body := u.upload(bytes.NewReader(archive))
	if status != http.StatusCreated {
		u.t.Fatalf("got status %d: %s", status, body)
	}
	var artifact api.Artifact
	decode(u.t, body, &artifact)
	return artifact
}

func TestArtifactRoundTrip(t *testing.T) {
	s := startServer(t, servertest.Options{})
	someone := testUser(t, s)
	files := map[string]string{"README": "hello\n", "src/main.go": "package main\n", "big": strings.Repeat("0123456789", 100_000)}
	archive := tarOf(t, files)
	for name, body := range map[string][]byte{"gzip": gzipped(t, archive), "zstd": zstdOf(t, archive), "plain": archive} {
		t.Run(name, func(t *testing.T) {
			artifact := someone.mustUpload(body)
			if artifact.Digest == "" || artifact.Files != int64(len(files)) || artifact.CreatedAt == 0 {
				t.Errorf("got %+v", artifact)
			}
			path := fmt.Sprintf("/api/v1/teams/main/artifacts/%d", artifact.ID)
			response := someone.open("GET", path, map[string]string{"Accept-Encoding": "gzip"}, nil)
			defer response.Body.Close()
			reader, err := gzip.NewReader(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			if got := filesOf(t, reader); !maps.Equal(got, files) {
				t.Errorf("got %d files back as gzip, other than were sent", len(got))
			}
			response = someone.open("GET", path, map[string]string{"Accept-Encoding": "gzip, zstd;q=0.5"}, nil)
			defer response.Body.Close()
			decoder, err := zstd.NewReader(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			defer decoder.Close()
			if got := filesOf(t, decoder); !maps.Equal(got, files) {
				t.Errorf("got %d files back as zstd, other than were sent", len(got))
			}
		})
	}
}

func TestListArtifacts(t *testing.T) {
	s := startServer(t, servertest.Options{})
	someone := testUser(t, s)
	for _, content := range []string{"1", "2", "3"} {
		someone.mustUpload(tarOf(t, map[string]string{"file": content}))
	}
	for query, want := range map[string][]int{"": {3, 2, 1}, "?limit=2": {3, 2}} {
		var artifacts []api.Artifact
		decode(t, someone.want(http.StatusOK, "GET", "/api/v1/teams/main/artifacts"+query, ""), &artifacts)
		var ids []int
		for _, artifact := range artifacts {
			ids = append(ids, artifact.ID)
		}
		if !slices.Equal(ids, want) {
			t.Errorf("%q lists %v, want %v", query, ids, want)
		}
	}
	someone.want(http.StatusBadRequest, "GET", "/api/v1/teams/main/artifacts?limit=none", "")
}

// Of an artifact its row can be had, and single files.
func TestPartsOfAnArtifact(t *testing.T) {
	s := startServer(t, servertest.Options{})
	someone := testUser(t, s)
	artifact := someone.mustUpload(tarOf(t, map[string]string{"a/b": "one", "a/c": "two", "d": ""}))
	path := fmt.Sprintf("/api/v1/teams/main/artifacts/%d", artifact.ID)
	var row api.Artifact
	decode(t, readAll(t, someone.open("GET", path, map[string]string{"Accept": "application/json"}, nil)), &row)
	if row != artifact {
		t.Errorf("got the row %+v, want %+v", row, artifact)
	}
	for file, want := range map[string]string{"a/b": "one", "a/../a/./c": "two", "d": ""} {
		if got := someone.want(http.StatusOK, "GET", path+"?file="+file, ""); got != want {
			t.Errorf("%s is %q, want %q", file, got, want)
		}
	}
	for _, file := range []string{"x", "../d", "a/b/c", "/d"} {
		someone.want(http.StatusNotFound, "GET", path+"?file="+file, "")
	}
	someone.want(http.StatusBadRequest, "GET", path+"?file=a", "")
}

// tarWith makes a tar stream with an entry of that kind in it.
func tarWith(t *testing.T, header tar.Header) []byte {
	t.Helper()
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	if err := w.WriteHeader(&header); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func TestBadArchives(t *testing.T) {
	s := startServer(t, servertest.Options{})
	someone := testUser(t, s)
	archive := tarOf(t, map[string]string{"file": strings.Repeat("some text ", 10_000)})
	corrupt := gzipped(t, archive)
	corrupt[len(corrupt)-5] ^= 1 // in the checksum
	corruptZstd := zstdOf(t, archive)
	corruptZstd[len(corruptZstd)/2] ^= 1
	tests := map[string][]byte{
		"empty":              {},
		"text":               []byte(strings.Repeat("this is no archive\n", 100)),
		"short text":         []byte("no"),
		"cut tar":            archive[:len(archive)/2],
		"cut gzip":           gzipped(t, archive)[:100],
		"head of gzip":       {0x1f, 0x8b},
		"gzip of no tar":     gzipped(t, []byte(strings.Repeat("no tar\n", 1000))),
		"wrong checksum":     corrupt,
		"cut zstd":           zstdOf(t, archive)[:50],
		"damaged zstd":       corruptZstd,
		"path to the parent": tarWith(t, tar.Header{Name: "../outside", Typeflag: tar.TypeReg, Mode: 0o644}),
		"absolute path":      tarWith(t, tar.Header{Name: "/../etc/outside", Typeflag: tar.TypeReg, Mode: 0o644}),
		"device":             tarWith(t, tar.Header{Name: "disk", Typeflag: tar.TypeBlock, Devmajor: 8, Mode: 0o644}),
		"link to nowhere":    tarWith(t, tar.Header{Name: "link", Typeflag: tar.TypeLink, Linkname: "../../etc/shadow"}),
	}
	for name, body := range tests {
		t.Run(name, func(t *testing.T) {
			status, answer := someone.upload(bytes.NewReader(body))
			if status != http.StatusBadRequest || !strings.HasPrefix(answer, "the archive cannot be unpacked: ") || strings.Count(answer, "\n") != 1 {
				t.Errorf("got status %d, %q; want 400 and a sentence", status, answer)
			}
		})
	}
	if made := someone.mustUpload(archive); made.ID != 1 {
		t.Errorf("the first good artifact has the id %d: bad ones have left rows", made.ID)
	}
}

// A client that goes away in the middle of an upload leaves nothing.
func TestInterruptedUpload(t *testing.T) {
	s := startServer(t, servertest.Options{})
	someone := testUser(t, s)
	archive := gzipped(t, tarOf(t, map[string]string{"file": strings.Repeat("some text ", 10_000)}))
	request, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+"/api/v1/teams/main/artifacts",
		io.MultiReader(bytes.NewReader(archive[:len(archive)/2]), iotest.ErrReader(syscall.ECONNRESET)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+someone.token)
	if response, err := http.DefaultClient.Do(request); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("got %v, %v; want that the request broke", response, err)
	}
	if made := someone.mustUpload(archive); made.ID != 1 {
		t.Errorf("the next artifact has the id %d: the interrupted one has left a row", made.ID)
	}
}

func TestNoSuchArtifact(t *testing.T) {
	s := startServer(t, servertest.Options{})
	someone := testUser(t, s)
	for _, id := range []string{"1", "0", "-1", "x", "99999999999999999999", "1%2f2"} {
		if body := someone.want(http.StatusNotFound, "GET", "/api/v1/teams/main/artifacts/"+id, ""); !strings.Contains(body, "not found") {
			t.Errorf("%s: got %q", id, body)
		}
	}
}
