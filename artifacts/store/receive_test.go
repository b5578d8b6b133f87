package store

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"midge/artifacts"
)

// packOf makes a pack of objects.
func packOf(objects ...pair) []byte {
	pack := artifacts.AppendPackStart(nil)
	var frame artifacts.FrameBuilder
	for _, object := range objects {
		frame.Add(object.key, object.record)
	}
	return artifacts.AppendPackEnd(frame.AppendFrame(pack))
}

type pair struct {
	key    artifacts.Key
	record []byte
}

func content(text string) pair {
	return pair{artifacts.Key{Kind: artifacts.KindContent, Digest: artifacts.Sum([]byte(text))}, []byte(text)}
}

func tree(entries ...artifacts.Entry) pair {
	object := artifacts.EncodeTree(entries)[0]
	return pair{artifacts.Key{Kind: artifacts.KindTree, Digest: object.Digest}, object.Record()}
}

func fileOf(name string, of pair) artifacts.Entry {
	return artifacts.Entry{Name: name, Type: artifacts.TypeFile, Size: int64(len(of.record)), Content: of.key}
}

func TestDamagedPacksAreRefused(t *testing.T) {
	hello := content("hello")
	good := packOf(hello)
	wrong := packOf(pair{hello.key, []byte("other")})
	noTree := []byte("\x03abc")
	for name, pack := range map[string][]byte{
		"cut":               good[:len(good)-1],
		"no pack":           []byte(strings.Repeat("no pack", 100)),
		"empty":             {},
		"another content":   wrong,
		"good, then cut":    append(good[:len(good)-1:len(good)-1], good[8:20]...),
		"a tree that is no": packOf(pair{artifacts.Key{Kind: artifacts.KindTree, Digest: artifacts.Sum([]byte("abc"))}, noTree}),
		"a list that is no": packOf(pair{artifacts.Key{Kind: artifacts.KindList, Digest: artifacts.Sum(noTree)}, noTree}),
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, Options{})
			root := artifacts.Sum([]byte(name))
			err := s.Receive(t.Context(), mainTeam, root, bytes.NewReader(pack))
			var format *artifacts.FormatError
			var digest *artifacts.DigestError
			if !errors.As(err, &format) && !errors.As(err, &digest) {
				t.Errorf("got %v", err)
			}
			s.endUpload(mainTeam, root)
			checkNothingLeft(t, s)
		})
	}
}

// TestLyingTreesAreRefused sends trees that are well formed and say what is not so.
func TestLyingTreesAreRefused(t *testing.T) {
	hello := content("hello")
	longer := fileOf("a", hello)
	longer.Size = 6
	in := tree(fileOf("a", hello))
	dir := artifacts.Entry{Name: "d", Type: artifacts.TypeDirectory, Mode: 0o755, Content: in.key, Size: 5, Files: 1}
	fewer, smaller := dir, dir
	fewer.Files, smaller.Size = 0, 4
	list := artifacts.EncodeList([]artifacts.Chunk{{Digest: hello.key.Digest, Size: 5}, {Digest: hello.key.Digest, Size: artifacts.MaxContent}})
	listed := pair{artifacts.Key{Kind: artifacts.KindList, Digest: artifacts.Sum(list)}, list}
	large := artifacts.Entry{Name: "l", Type: artifacts.TypeFile, Size: artifacts.MaxContent + 5, Content: listed.key}
	another := large
	another.Size++
	for name, root := range map[string]pair{
		"a longer file":          tree(longer),
		"fewer files":            tree(fewer),
		"fewer bytes":            tree(smaller),
		"a chunk's size":         tree(large),
		"another size of chunks": tree(another),
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, Options{})
			must(t, s.Receive(t.Context(), mainTeam, root.key.Digest, bytes.NewReader(packOf(hello, in, listed, root))))
			var lying *TreeError
			if _, _, err := s.Missing(t.Context(), mainTeam, root.key.Digest); !errors.As(err, &lying) {
				t.Errorf("got %v", err)
			}
			if _, err := s.Open(t.Context(), mainTeam, root.key.Digest.String()); err == nil {
				t.Error("the tree can be opened")
			}
		})
	}
}

func TestMissing(t *testing.T) {
	s := open(t, Options{})
	hello, other := content("hello"), content("other")
	in := tree(fileOf("a", hello), fileOf("b", other))
	root := tree(artifacts.Entry{Name: "d", Type: artifacts.TypeDirectory, Mode: 0o755, Content: in.key, Size: 10, Files: 2}, fileOf("e", hello))
	ask := func() (missing map[artifacts.Key][]int, top bool) {
		t.Helper()
		_, answer, err := s.Missing(t.Context(), mainTeam, root.key.Digest)
		must(t, err)
		missing = make(map[artifacts.Key][]int)
		if answer == nil {
			return nil, false
		}
		top, err = artifacts.ReadAnswer(bytes.NewReader(answer.Bytes()), func(key artifacts.Key, is func(int) bool, count int) error {
			for i := range count {
				if is(i) {
					missing[key] = append(missing[key], i)
				}
			}
			return nil
		})
		must(t, err)
		return missing, top
	}
	receive := func(objects ...pair) {
		t.Helper()
		must(t, s.Receive(t.Context(), mainTeam, root.key.Digest, bytes.NewReader(packOf(objects...))))
	}
	if missing, top := ask(); len(missing) != 0 || !top {
		t.Errorf("of nothing: %v, %v", missing, top)
	}
	receive(root)
	if missing, top := ask(); len(missing[root.key]) != 2 || top {
		t.Errorf("with the top: %v, %v", missing, top)
	}
	receive(in, other)
	if missing, _ := ask(); len(missing[root.key]) != 1 || missing[root.key][0] != 1 || len(missing[in.key]) != 1 || missing[in.key][0] != 0 {
		t.Errorf("with the directories: %v", missing)
	}
	receive(hello)
	if missing, _ := ask(); missing != nil {
		t.Errorf("with all: %v", missing)
	}
	// Another team is asked for all of it, and it is stored once.
	_, answer, err := s.Missing(t.Context(), "other", root.key.Digest)
	if err != nil || answer == nil {
		t.Fatalf("another team: %v, %v", answer, err)
	}
	packs := len(s.packs)
	must(t, s.Receive(t.Context(), "other", root.key.Digest, bytes.NewReader(packOf(root, in, other, hello))))
	tree, _, err := s.Missing(t.Context(), "other", root.key.Digest)
	if err != nil || tree == nil || len(s.packs) != packs {
		t.Errorf("another team that has sent it: %v, %v, %d packs", tree, err, len(s.packs))
	}
	reopened := reopen(t, s)
	if _, err := reopened.Open(t.Context(), "other", root.key.Digest.String()); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}

// TestSharedDirectories sends a tree with 2^60 paths, which is small on the wire.
func TestSharedDirectories(t *testing.T) {
	s := open(t, Options{MaxArtifactSize: 1 << 40})
	hello := content("hello")
	objects := []pair{hello, tree(fileOf("a", hello))}
	size, files := int64(5), int64(1)
	for range 58 {
		below := objects[len(objects)-1]
		d := artifacts.Entry{Name: "a", Type: artifacts.TypeDirectory, Content: below.key, Size: size, Files: files}
		e := d
		e.Name = "b"
		objects = append(objects, tree(d, e))
		size, files = 2*size, 2*files
	}
	root := objects[len(objects)-1].key.Digest
	must(t, s.Receive(t.Context(), mainTeam, root, bytes.NewReader(packOf(objects...))))
	var tooLarge *SizeError
	if _, _, err := s.Missing(t.Context(), mainTeam, root); !errors.As(err, &tooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestHandlerRefuses(t *testing.T) {
	s := open(t, Options{})
	h := s.Handler(Routes{Prefix: "/a", Team: func(*http.Request) string { return mainTeam }})
	digest := artifacts.Sum(nil).String()
	for _, c := range []struct {
		path, body string
		status     int
	}{
		{"/a/trees/xyz", "", http.StatusBadRequest},
		{"/a/objects", "", http.StatusBadRequest},
		{"/a/objects?tree=" + digest, "no pack", http.StatusUnprocessableEntity},
		{"/a/objects?tree=" + digest, string(packOf(content("x"))) + strings.Repeat("x", artifacts.MaxPack), http.StatusNoContent},
		{"/a/have", "x", http.StatusUnprocessableEntity},
		{"/a/have", strings.Repeat("\x01", artifacts.MaxPack+1), http.StatusRequestEntityTooLarge},
		{"/a/fetch", "\x03" + strings.Repeat("x", artifacts.DigestSize), http.StatusNotFound},
		{"/a/trees/" + digest, "", http.StatusConflict},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, c.path, strings.NewReader(c.body)))
		if w.Code != c.status {
			t.Errorf("%s: %d %s, want %d", c.path, w.Code, w.Body, c.status)
		}
	}
}

// memoryDisk gives the directory of a disk in memory.
func memoryDisk(t testing.TB, size string) string {
	t.Helper()
	dir := t.TempDir()
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size))
	t.Cleanup(func() { must(t, unix.Unmount(dir, 0)) })
	return dir
}

// TestFullDisk stores on a disk that is full, and then on the same with room.
func TestFullDisk(t *testing.T) {
	dir := memoryDisk(t, "2m")
	s, err := Open(dir, Options{})
	must(t, err)
	defer func() { must(t, s.Close()) }()
	source := t.TempDir()
	makeTree(t, source)
	if _, _, _, err := s.Ingest(t.Context(), mainTeam, localDir(source)); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("got %v", err)
	}
	checkNothingLeft(t, s)
	small := smallTree(t, 5)
	digest := ingest(t, s, mainTeam, small)
	if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 2<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	if _, _, err := s.Materialise(t.Context(), digest); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a directory on a full disk: %v", err)
	}
	must(t, unix.Mount("", dir, "", unix.MS_REMOUNT, "size=20m"))
	made, release, err := s.Materialise(t.Context(), digest)
	must(t, err)
	defer release()
	compare(t, listing(t, made), listing(t, small))
	ingest(t, s, mainTeam, source)
	verify(t, s, nil)
}
