package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"midge/client"
)

type nowhere struct{}

func (nowhere) RoundTrip(*http.Request) (*http.Response, error) { return nil, io.EOF }

// Whatever URL is given for a build's page is one of a build, or is said not to be.
func FuzzPages(f *testing.F) {
	for _, page := range []string{
		"http://h/builds/12", "http://h/teams/t/pipelines/p/jobs/j/builds/1.1", "builds/#12", "http://h/teams/%2f/pipelines/../jobs/j/builds/x",
		"http://[", "/builds/-1", "/builds/99999999999999999999", "",
	} {
		f.Add(page)
	}
	f.Fuzz(func(t *testing.T, page string) {
		c, err := client.New(client.Options{URL: "http://midge.example", Wrap: func(http.RoundTripper) http.RoundTripper { return nowhere{} }})
		if err != nil {
			t.Fatal(err)
		}
		if id, err := idOfPage(t.Context(), c, page); err == nil && id <= 0 {
			t.Errorf("%q is of the build %d", page, id)
		}
		if filter, err := filterOfPage(client.ContainerFilter{}, page); err == nil && filter.BuildID <= 0 && filter.JobName == "" {
			t.Errorf("%q is of %+v", page, filter)
		}
	})
}

// Whatever has become of the file of what is remembered for completion, what is too
// old or of the future is not used.
func FuzzCompletionCache(f *testing.F) {
	for _, text := range []string{`{"at":"2026-01-01T00:00:00Z","choices":[{}]}`, `{"at":"9999-01-01T00:00:00Z"}`, `{"choices":1}`, `[]`, ``} {
		f.Add([]byte(text))
	}
	now := time.Date(2026, 1, 1, 0, 0, 3, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "choices.json")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		choices, ok := completionCache{path}.read(now)
		if !ok && choices != nil {
			t.Errorf("%q gave %+v, %v", text, choices, ok)
		}
	})
}
