package transfer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"midge/artifacts"
	"midge/artifacts/scan"
	"midge/artifacts/store"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func bytesOf(seed uint64, n int) []byte {
	p := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	r.Read(p)
	return p
}

var when = time.Date(2024, 5, 6, 7, 8, 9, 123456789, time.UTC)

// lay writes files below dir; a name that ends in a slash is an empty directory.
// All have an old time, so that they are remembered.
func lay(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if strings.HasSuffix(name, "/") {
			must(t, os.MkdirAll(path, 0o755))
			continue
		}
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(content), 0o644))
		must(t, os.Chtimes(path, when, when))
	}
}

// sample is a tree with some of everything.
func sample(t testing.TB) string {
	dir := t.TempDir()
	files := map[string]string{
		"empty": "", "a": "a\n", "b": "a\n", "sub/c": "c", "sub/deep/er/d": "d", "hollow/": "",
		"name\nwith newline": "n", "\xff\xfe": "u",
		"large": string(bytesOf(1, 6<<20)), "sub/incompressible": string(bytesOf(2, 300_000)),
	}
	for i := range 40 {
		files[fmt.Sprintf("many/%d/file", i)] = strings.Repeat(fmt.Sprint(i), 1000)
	}
	lay(t, dir, files)
	must(t, os.Symlink("sub/c", filepath.Join(dir, "link")))
	must(t, os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "z")))
	must(t, os.Chmod(filepath.Join(dir, "sub/c"), 0o755))
	setDirTimes(t, dir)
	return dir
}

func setDirTimes(t testing.TB, dir string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return os.Chtimes(path, when, when)
	}))
}

// listing describes all that is below dir, by path.
func listing(t testing.TB, dir string) map[string]string {
	t.Helper()
	lines := make(map[string]string)
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		must(t, err)
		info, err := d.Info()
		must(t, err)
		line := info.Mode().String()
		switch {
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			must(t, err)
			line += " -> " + target
		case d.Type().IsRegular():
			content, err := os.ReadFile(path)
			must(t, err)
			line += fmt.Sprint(" ", artifacts.Sum(content), " ", info.ModTime().UTC())
		default:
			line += fmt.Sprint(" ", info.ModTime().UTC())
		}
		lines[name] = line
		return nil
	}))
	return lines
}

func compareDirs(t testing.TB, got, want string) {
	t.Helper()
	g, w := listing(t, got), listing(t, want)
	for name, line := range w {
		if g[name] != line {
			t.Errorf("%q is %q, want %q", name, g[name], line)
		}
	}
	for name, line := range g {
		if _, ok := w[name]; !ok {
			t.Errorf("%q is %q, and should not be", name, line)
		}
	}
}

// recorder counts the requests that go through it, and may spoil them.
type recorder struct {
	client interface {
		Do(*http.Request) (*http.Response, error)
	}
	spoil func(n int, request *http.Request) error

	mu       sync.Mutex
	n        int
	paths    []string
	bytes    map[string]int64
	largest  int64
	response func(*http.Response)
}

func record(remote *Remote) *recorder {
	r := &recorder{client: remote.Client, bytes: make(map[string]int64)}
	remote.Client = r
	remote.Wait = func(int) time.Duration { return 0 }
	return r
}

func (r *recorder) Do(request *http.Request) (*http.Response, error) {
	kind := request.URL.Path[strings.Index(request.URL.Path, "/artifacts/")+len("/artifacts/"):]
	kind, _, _ = strings.Cut(kind, "/")
	r.mu.Lock()
	r.n++
	n := r.n
	r.mu.Unlock()
	if r.spoil != nil {
		if err := r.spoil(n, request); err != nil {
			return nil, err
		}
	}
	response, err := r.client.Do(request)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paths = append(r.paths, kind)
	r.bytes[kind] += request.ContentLength
	r.largest = max(r.largest, request.ContentLength)
	if r.response != nil {
		r.response(response)
	}
	return response, nil
}

func (r *recorder) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paths, r.bytes, r.largest = nil, make(map[string]int64), 0
}

func sendOK(t *testing.T, remote *Remote, dir string, options SendOptions) Receipt {
	t.Helper()
	receipt, _, err := Send(t.Context(), remote, dir, options)
	must(t, err)
	return receipt
}

// checkStored compares what the store has under a digest with a directory.
func checkStored(t *testing.T, s *store.Store, digest, dir string) {
	t.Helper()
	made, release, err := s.Materialise(t.Context(), digest)
	must(t, err)
	defer release()
	compareDirs(t, made, dir)
}

func TestSend(t *testing.T) {
	s, remote := serve(t, store.Options{})
	r := record(remote)
	dir := sample(t)
	options := SendOptions{CacheDir: t.TempDir(), Query: url.Values{"name": {"input"}}}
	receipt, created, err := Send(t.Context(), remote, dir, options)
	must(t, err)
	checkStored(t, s, receipt.Digest, dir)
	var answer struct{ Name, Digest string }
	must(t, json.Unmarshal(created, &answer))
	if answer.Name != "input" || answer.Digest != receipt.Digest {
		t.Errorf("the server answered %s", created)
	}
	if receipt.Files != 51 || receipt.Bytes != receipt.SentBytes+2 || receipt.DeduplicatedBytes != 2 || receipt.SentFiles != 47 {
		t.Errorf("receipt %+v", receipt)
	}

	// Nothing changed: one round trip.
	r.reset()
	again := sendOK(t, remote, dir, options)
	if again.Digest != receipt.Digest || again.SentBytes != 0 || again.DeduplicatedBytes != again.Bytes {
		t.Errorf("receipt of an unchanged tree %+v", again)
	}
	if !slices.Equal(r.paths, []string{"trees"}) {
		t.Errorf("an unchanged tree takes the requests %q", r.paths)
	}
}

func TestSendWhatChanged(t *testing.T) {
	for _, remembers := range []bool{true, false} {
		t.Run(fmt.Sprint("remembers ", remembers), func(t *testing.T) {
			s, remote := serve(t, store.Options{})
			r := record(remote)
			dir := sample(t)
			var options SendOptions
			if remembers {
				options.CacheDir = t.TempDir()
			}
			sendOK(t, remote, dir, options)
			lay(t, dir, map[string]string{"sub/deep/er/d": "changed", "sub/deep/new": "new"})
			must(t, os.Remove(filepath.Join(dir, "b")))
			r.reset()
			receipt := sendOK(t, remote, dir, options)
			setDirTimes(t, dir)
			if receipt.SentFiles != 2 || receipt.SentBytes != 10 {
				t.Errorf("receipt %+v", receipt)
			}
			if r.bytes["objects"] > 3000 {
				t.Errorf("%d bytes are sent for two small files", r.bytes["objects"])
			}
			if remembers && len(r.paths) != 5 {
				t.Errorf("it takes the requests %q", r.paths)
			}
			if _, err := s.Open(t.Context(), "main", receipt.Digest); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSendToServerThatLostWhatIsRemembered(t *testing.T) {
	_, first := serve(t, store.Options{})
	dir := sample(t)
	options := SendOptions{CacheDir: t.TempDir()}
	sendOK(t, first, dir, options)
	// Another server at the same address.
	s, second := serve(t, store.Options{})
	client := second.Client
	second.Client = clientFunc(func(request *http.Request) (*http.Response, error) {
		request = request.Clone(request.Context())
		address, err := url.Parse(second.URL)
		must(t, err)
		request.URL.Host = address.Host
		return client.Do(request)
	})
	moved := &Remote{Client: second.Client, URL: first.URL}
	lay(t, dir, map[string]string{"a new file": "x"})
	receipt := sendOK(t, moved, dir, options)
	if _, err := s.Open(t.Context(), "main", receipt.Digest); err != nil {
		t.Error(err)
	}
}

type clientFunc func(*http.Request) (*http.Response, error)

func (f clientFunc) Do(request *http.Request) (*http.Response, error) { return f(request) }

func TestLargeFileSendsWhatChanged(t *testing.T) {
	s, remote := serve(t, store.Options{})
	r := record(remote)
	dir := t.TempDir()
	content := bytesOf(7, 48<<20)
	lay(t, dir, map[string]string{"large": string(content)})
	options := SendOptions{CacheDir: t.TempDir()}
	sendOK(t, remote, dir, options)
	if r.largest > artifacts.MaxPack {
		t.Errorf("a request has %d bytes", r.largest)
	}
	content = slices.Insert(content, len(content)/2, bytesOf(8, 1000)...)
	lay(t, dir, map[string]string{"large": string(content)})
	receipt := sendOK(t, remote, dir, options)
	if receipt.SentBytes > 8<<20 {
		t.Errorf("%d bytes are sent for 1000 in the middle", receipt.SentBytes)
	}
	a, err := s.Open(t.Context(), "main", receipt.Digest)
	must(t, err)
	tar, err := a.StreamOut(t.Context(), "large")
	must(t, err)
	got, err := io.ReadAll(tar)
	must(t, err)
	must(t, tar.Close())
	if !bytes.Contains(got, content) {
		t.Error("the file is not what was sent")
	}
}

func TestLargeDirectoryIsSentInParts(t *testing.T) {
	s, remote := serve(t, store.Options{})
	r := record(remote)
	dir := t.TempDir()
	files := make(map[string]string)
	for i := range 6000 {
		files[fmt.Sprintf("all/file %d", i)] = fmt.Sprint(i)
	}
	lay(t, dir, files)
	options := SendOptions{CacheDir: t.TempDir()}
	sendOK(t, remote, dir, options)
	r.reset()
	lay(t, dir, map[string]string{"all/file 3000": "changed"})
	receipt := sendOK(t, remote, dir, options)
	if _, err := s.Open(t.Context(), "main", receipt.Digest); err != nil {
		t.Error(err)
	}
	// Of the directory's 350 kB not much is sent again without remembering its parts.
	t.Logf("%d bytes for one file of a directory with 6000", r.bytes["objects"])
}

func TestBrokenSendGoesOn(t *testing.T) {
	s, remote := serve(t, store.Options{})
	r := record(remote)
	remote.Attempts = 1
	dir := t.TempDir()
	files := make(map[string]string)
	for i := range 32 {
		files[fmt.Sprintf("%d", i)] = string(bytesOf(uint64(i), 1<<20))
	}
	lay(t, dir, files)
	broken := errors.New("the network is gone")
	var objects atomic.Int32
	r.spoil = func(_ int, request *http.Request) error {
		if strings.HasSuffix(request.URL.Path, "/objects") && objects.Add(1) > 4 {
			return broken
		}
		return nil
	}
	if _, _, err := Send(t.Context(), remote, dir, SendOptions{}); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	arrived := r.bytes["objects"]
	r.spoil = nil
	r.reset()
	receipt := sendOK(t, remote, dir, SendOptions{})
	if receipt.SentBytes >= 32<<20 || arrived+r.bytes["objects"] > 32<<20+100_000 {
		t.Errorf("%d bytes arrived, then %d", arrived, r.bytes["objects"])
	}
	checkStored(t, s, receipt.Digest, dir)
}

func TestFailedRequestsAreSentAgain(t *testing.T) {
	_, remote := serve(t, store.Options{})
	r := record(remote)
	r.spoil = func(n int, _ *http.Request) error {
		if n%2 == 1 {
			return errors.New("connection reset")
		}
		return nil
	}
	dir := sample(t)
	receipt := sendOK(t, remote, dir, SendOptions{})
	to := t.TempDir()
	_, err := Fetch(t.Context(), remote, receipt.Digest, to, FetchOptions{})
	must(t, err)
	compareDirs(t, to, dir)
}

func TestDryRunSendsNoContent(t *testing.T) {
	_, remote := serve(t, store.Options{})
	r := record(remote)
	dir := sample(t)
	lay(t, dir, map[string]string{".midgeignore": "many\n", ".gitignore": "b\nsub/\n"})
	receipt := sendOK(t, remote, dir, SendOptions{DryRun: true})
	if slices.ContainsFunc(r.paths, func(path string) bool { return path != "have" }) {
		t.Errorf("a dry run makes the requests %q", r.paths)
	}
	if receipt.SentFiles != 6 || receipt.SentBytes != receipt.Bytes {
		t.Errorf("receipt %+v", receipt)
	}
	if receipt.Largest[0].Path != "large" || receipt.Largest[0].Bytes != 6<<20 {
		t.Errorf("largest are %+v", receipt.Largest)
	}
	want := []IgnoredPath{{"b", ".gitignore:1: b"}, {"many/", ".midgeignore:1: many"}, {"sub/", ".gitignore:2: sub/"}}
	if !slices.Equal(receipt.Ignored, want) {
		t.Errorf("ignored are %+v", receipt.Ignored)
	}
	if want := []IgnoredBy{{".gitignore", 2}, {".midgeignore", 1}}; !slices.Equal(receipt.IgnoredBy, want) {
		t.Errorf("ignored by %+v", receipt.IgnoredBy)
	}
	sendOK(t, remote, dir, SendOptions{})
	lay(t, dir, map[string]string{"a": "other"})
	if receipt := sendOK(t, remote, dir, SendOptions{DryRun: true}); receipt.SentFiles != 1 || receipt.SentBytes != 5 {
		t.Errorf("receipt of a small change %+v", receipt)
	}
}

func TestConfirmMayRefuse(t *testing.T) {
	_, remote := serve(t, store.Options{})
	refusal := errors.New("too much")
	var asked Receipt
	options := SendOptions{Confirm: func(_ context.Context, receipt *Receipt) error {
		asked = *receipt
		return refusal
	}}
	if _, _, err := Send(t.Context(), remote, sample(t), options); !errors.Is(err, refusal) {
		t.Errorf("got %v", err)
	}
	if asked.SentFiles != 47 || asked.Largest[0].Path != "large" {
		t.Errorf("asked with %+v", asked)
	}
}

func TestFileThatChangesWhileItIsSent(t *testing.T) {
	s, remote := serve(t, store.Options{})
	r := record(remote)
	dir := sample(t)
	// The file is written once between the scan and the sending: the second try has it.
	once := sync.OnceFunc(func() {
		must(t, os.WriteFile(filepath.Join(dir, "sub/c"), []byte("longer than before"), 0o644))
	})
	r.spoil = func(int, *http.Request) error { once(); return nil }
	receipt := sendOK(t, remote, dir, SendOptions{})
	a, err := s.Open(t.Context(), "main", receipt.Digest)
	must(t, err)
	tar, err := a.StreamOut(t.Context(), "sub/c")
	must(t, err)
	got, err := io.ReadAll(tar)
	must(t, err)
	must(t, tar.Close())
	if !bytes.Contains(got, []byte("longer than before")) {
		t.Error("the file is not the changed one")
	}

	// It is written at each request: that is an error that names it.
	lay(t, dir, map[string]string{"sub/c": "yet another"})
	n := 0
	r.spoil = func(int, *http.Request) error {
		n++
		return os.WriteFile(filepath.Join(dir, "sub/c"), bytes.Repeat([]byte("x"), 1000+n), 0o644)
	}
	_, _, err = Send(t.Context(), remote, dir, SendOptions{})
	var changed *scan.ChangedError
	if !errors.As(err, &changed) || changed.Path != "sub/c" {
		t.Errorf("got %v", err)
	}

	// It is written without its times telling: the server sees it.
	r.spoil = func(int, *http.Request) error {
		n++
		path := filepath.Join(dir, "sub/c")
		return errors.Join(os.WriteFile(path, fmt.Appendf(nil, "%04d", n), 0o644), os.Chtimes(path, when, when))
	}
	_, _, err = Send(t.Context(), remote, dir, SendOptions{})
	if !errors.As(err, &changed) || changed.Path != "sub/c" {
		t.Errorf("got %v", err)
	}
}

func TestTwoSendsOfTheSameTreeAtOnce(t *testing.T) {
	s, remote := serve(t, store.Options{})
	dir := sample(t)
	digests := make([]string, 3)
	var wg sync.WaitGroup
	for i := range digests {
		wg.Go(func() {
			receipt, _, err := Send(t.Context(), remote, dir, SendOptions{})
			if err != nil {
				t.Error(err)
			}
			digests[i] = receipt.Digest
		})
	}
	wg.Wait()
	for _, digest := range digests {
		checkStored(t, s, digest, dir)
	}
}

func TestATeamIsNotToldWhatAnotherSent(t *testing.T) {
	_, remote := serve(t, store.Options{})
	dir := sample(t)
	first := sendOK(t, remote, dir, SendOptions{})
	other := &Remote{Client: remote.Client, URL: strings.Replace(remote.URL, "/main/", "/other/", 1)}
	if _, err := Fetch(t.Context(), other, first.Digest, t.TempDir(), FetchOptions{}); err == nil {
		t.Error("another team fetches the tree by its digest")
	}
	if receipt := sendOK(t, other, dir, SendOptions{}); receipt.SentBytes != first.SentBytes {
		t.Errorf("another team sends %d bytes, not %d", receipt.SentBytes, first.SentBytes)
	}
}

func TestServerRefusesLargeTree(t *testing.T) {
	_, remote := serve(t, store.Options{MaxArtifactSize: 1000})
	r := record(remote)
	_, _, err := Send(t.Context(), remote, sample(t), SendOptions{})
	var refused *ServerError
	if !errors.As(err, &refused) || refused.Status != http.StatusRequestEntityTooLarge {
		t.Errorf("got %v", err)
	}
	if r.bytes["objects"] > 10_000 {
		t.Errorf("%d bytes are sent before it is refused", r.bytes["objects"])
	}
}

func TestFetch(t *testing.T) {
	_, remote := serve(t, store.Options{})
	r := record(remote)
	dir := sample(t)
	digest := sendOK(t, remote, dir, SendOptions{}).Digest
	to := filepath.Join(t.TempDir(), "to")
	options := FetchOptions{CacheDir: t.TempDir()}
	receipt, err := Fetch(t.Context(), remote, digest, to, options)
	must(t, err)
	compareDirs(t, to, dir)
	if receipt.Files != 51 || receipt.FetchedFiles != 48 || receipt.FetchedBytes != receipt.Bytes-2 {
		t.Errorf("receipt %+v", receipt)
	}
	a, err := os.Stat(filepath.Join(to, "a"))
	must(t, err)
	z, err := os.Stat(filepath.Join(to, "z"))
	must(t, err)
	if !os.SameFile(a, z) {
		t.Error("a and z are not the same file")
	}

	r.reset()
	receipt, err = Fetch(t.Context(), remote, digest, to, options)
	must(t, err)
	if len(r.paths) != 0 || receipt.FetchedBytes != 0 {
		t.Errorf("nothing to do takes the requests %q and fetches %d bytes", r.paths, receipt.FetchedBytes)
	}
}

func TestFetchGetsWhatDiffers(t *testing.T) {
	_, remote := serve(t, store.Options{})
	r := record(remote)
	dir := sample(t)
	old := sendOK(t, remote, dir, SendOptions{}).Digest
	to := t.TempDir()
	options := FetchOptions{CacheDir: t.TempDir()}
	_, err := Fetch(t.Context(), remote, old, to, options)
	must(t, err)

	large := bytesOf(1, 6<<20)
	copy(large[3<<20:], "changed")
	lay(t, dir, map[string]string{"large": string(large), "sub/c": "other", "moved/again": string(bytesOf(2, 300_000)), "link2/x": "x"})
	must(t, os.RemoveAll(filepath.Join(dir, "link")))
	must(t, os.MkdirAll(filepath.Join(dir, "link"), 0o755))
	must(t, os.RemoveAll(filepath.Join(dir, "hollow")))
	must(t, os.Symlink("nowhere", filepath.Join(dir, "hollow")))
	must(t, os.Remove(filepath.Join(dir, "b")))
	setDirTimes(t, dir)
	digest := sendOK(t, remote, dir, SendOptions{}).Digest

	// In the way are a directory for a file, what only is here, and a broken change.
	lay(t, to, map[string]string{"only/here": "kept", "many/0/file": "broken"})
	must(t, os.Remove(filepath.Join(to, "a")))
	must(t, os.MkdirAll(filepath.Join(to, "a/b"), 0o755))
	r.reset()
	_, err = Fetch(t.Context(), remote, digest, to, options)
	var conflict *ConflictError
	if !errors.As(err, &conflict) || conflict.Path != "a" {
		t.Fatalf("got %v", err)
	}
	must(t, os.Remove(filepath.Join(to, "a/b")))
	receipt, err := Fetch(t.Context(), remote, digest, to, options)
	must(t, err)
	if receipt.FetchedBytes > 5<<20 {
		t.Errorf("%d bytes are fetched", receipt.FetchedBytes)
	}
	if content, err := os.ReadFile(filepath.Join(to, "only/here")); err != nil || string(content) != "kept" {
		t.Errorf("what only is here: %q, %v", content, err)
	}
	if _, err := os.Stat(filepath.Join(to, "b")); err != nil {
		t.Errorf("what only is here: %v", err)
	}
	options.Delete = true
	receipt, err = Fetch(t.Context(), remote, digest, to, options)
	must(t, err)
	if slices.Sort(receipt.Deleted); !slices.Equal(receipt.Deleted, []string{"b", "only"}) {
		t.Errorf("deleted are %q", receipt.Deleted)
	}
	compareDirs(t, to, dir)
}

func TestBrokenFetchGoesOn(t *testing.T) {
	_, remote := serve(t, store.Options{})
	dir := t.TempDir()
	files := make(map[string]string)
	for i := range 32 {
		files[fmt.Sprintf("d/%d", i)] = string(bytesOf(uint64(i), 1<<20))
	}
	files["large"] = string(bytesOf(99, 20<<20))
	lay(t, dir, files)
	setDirTimes(t, dir)
	digest := sendOK(t, remote, dir, SendOptions{}).Digest

	to := t.TempDir()
	r := record(remote)
	broken := errors.New("the network is gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	contents := 0
	r.response = func(response *http.Response) {
		// The third answer with contents is cut in its middle.
		if contents++; contents == 4 {
			response.Body = &cutBody{response.Body, 5 << 20, func() { cancel(broken) }}
		}
	}
	first, err := Fetch(ctx, remote, digest, to, FetchOptions{})
	if !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	if entries, err := os.ReadDir(to); err != nil || len(entries) != 1 {
		t.Errorf("visible are %v, %v", entries, err)
	}
	r.response = nil
	second, err := Fetch(t.Context(), remote, digest, to, FetchOptions{})
	must(t, err)
	if sum := first.FetchedCompressed + second.FetchedCompressed; sum > 64<<20 {
		t.Errorf("%d bytes come, then %d", first.FetchedCompressed, second.FetchedCompressed)
	}
	if second.FetchedBytes >= 52<<20 {
		t.Errorf("all %d bytes come again", second.FetchedBytes)
	}
	compareDirs(t, to, dir)
}

// cutBody ends after so many bytes.
type cutBody struct {
	io.ReadCloser
	left  int
	atEnd func()
}

func (c *cutBody) Read(p []byte) (int, error) {
	if c.left == 0 {
		c.atEnd()
		return 0, io.ErrUnexpectedEOF
	}
	n, err := c.ReadCloser.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

func TestFetchDoesNotLeaveTheDirectory(t *testing.T) {
	_, remote := serve(t, store.Options{})
	dir := t.TempDir()
	lay(t, dir, map[string]string{"sub/file": "new", "sub2/deep/file": "new"})
	digest := sendOK(t, remote, dir, SendOptions{}).Digest
	outside := t.TempDir()
	lay(t, outside, map[string]string{"file": "untouched", "deep/file": "untouched"})
	to := t.TempDir()
	must(t, os.Symlink(outside, filepath.Join(to, "sub")))
	must(t, os.Symlink(outside, filepath.Join(to, "sub2")))
	_, err := Fetch(t.Context(), remote, digest, to, FetchOptions{})
	must(t, err)
	for _, name := range []string{"file", "deep/file"} {
		if content, err := os.ReadFile(filepath.Join(outside, name)); err != nil || string(content) != "untouched" {
			t.Errorf("outside is %q, %v", content, err)
		}
	}
	if content, err := os.ReadFile(filepath.Join(to, "sub/file")); err != nil || string(content) != "new" {
		t.Errorf("inside is %q, %v", content, err)
	}
}

func TestSocketIsRefusedByName(t *testing.T) {
	_, remote := serve(t, store.Options{})
	dir := sample(t)
	makePipe(t, filepath.Join(dir, "sub/pipe"))
	_, _, err := Send(t.Context(), remote, dir, SendOptions{})
	var unsupported *scan.UnsupportedError
	if !errors.As(err, &unsupported) || unsupported.Path != "sub/pipe" {
		t.Errorf("got %v", err)
	}
}
