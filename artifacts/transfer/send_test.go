package transfer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"midge/artifacts"
	"midge/artifacts/scan"
	"midge/artifacts/store"
)

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
	for name, since := range map[string]map[string]string{
		"with something new": {"a new file": "x"},
		"with nothing new":   nil,
	} {
		t.Run(name, func(t *testing.T) {
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
			lay(t, dir, since)
			receipt := sendOK(t, moved, dir, options)
			if _, err := s.Open(t.Context(), "main", receipt.Digest); err != nil {
				t.Error(err)
			}
		})
	}
}

type clientFunc func(*http.Request) (*http.Response, error)

func (f clientFunc) Do(request *http.Request) (*http.Response, error) { return f(request) }

func TestLargeFileSendsWhatChanged(t *testing.T) {
	s, remote := serve(t, store.Options{})
	r := record(remote)
	dir := t.TempDir()
	content := bytesOf(7, 20<<20)
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
	for i := range 4000 {
		files[fmt.Sprintf("all/file %d", i)] = fmt.Sprint(i)
	}
	lay(t, dir, files)
	options := SendOptions{CacheDir: t.TempDir()}
	sendOK(t, remote, dir, options)
	for _, cacheDir := range []string{options.CacheDir, ""} {
		r.reset()
		lay(t, dir, map[string]string{"all/file 2000": "changed" + cacheDir})
		receipt := sendOK(t, remote, dir, SendOptions{CacheDir: cacheDir})
		if _, err := s.Open(t.Context(), "main", receipt.Digest); err != nil {
			t.Error(err)
		}
		// The directory's objects have 250 kB together, one part of it 60.
		if r.bytes["objects"] > 80_000 {
			t.Errorf("%d bytes are sent for one file of 4000, remembering in %q", r.bytes["objects"], cacheDir)
		}
	}
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
