package main

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"midge/client"
)

// What is typed for a build, an artifact, a job or a place in a container is one, or is
// said to be none: no other is taken for it.
func FuzzReferences(f *testing.F) {
	for _, text := range []string{
		"12", "#12", "##12", "-1", "0", "+7", "012", "99999999999999999999", "", "12:", "12:out/file", "12/step:/etc/passwd", "/step:x",
		":x", "12/a:b:c", "./12:x", "b12-0123456789ab:out", "b12-0123456789AB:out", "p/j", "p/", "/j", "a/b/c", "12/\n:x", "\x1b[2J", "１２",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		build, err := parseBuildID(text)
		checkNumber(t, text, strings.TrimPrefix(text, "#"), build, err)
		artifact, err := parseArtifactID(text)
		checkNumber(t, text, text, artifact, err)
		if pipeline, job, err := pipelineAnd("--job", "JOB", text); err == nil && (pipeline+"/"+job != text || pipeline == "" || job == "" || strings.Contains(pipeline, "/")) {
			t.Errorf("%q is the job %q of %q", text, job, pipeline)
		}
		checkContainerPath(t, text)
	})
}

// checkNumber looks at what was made of a text, whose digits are to be the number.
func checkNumber(t *testing.T, text, digits string, got int, err error) {
	t.Helper()
	if err != nil && (got != 0 || !strings.Contains(err.Error(), strconv.Quote(text))) {
		t.Errorf("%q is %d, and no number: %v", text, got, err)
	}
	if err == nil && (got <= 0 || strings.TrimLeft(strings.TrimPrefix(digits, "+"), "0") != strconv.Itoa(got)) {
		t.Errorf("%q is the number %d", text, got)
	}
}

func checkContainerPath(t *testing.T, text string) {
	t.Helper()
	place, err := parseContainerPath(text, false)
	if isContainerPath(text) && err != nil {
		t.Errorf("%q is a place in a container, and none: %v", text, err)
	}
	if err == nil {
		// Put together again it is what was typed.
		where := place.choice.handle + place.choice.build
		if place.choice.step != "" {
			where += "/" + place.choice.step
		}
		if text != where && text != where+":"+place.path && (text != where+":" || place.path != ".") {
			t.Errorf("%q is %+v", text, place)
		}
	}
	if place, err := parseContainerPath(text, true); err == nil && (place.path == "" || !isContainerPath(text)) {
		t.Errorf("%q is the file %+v", text, place)
	}
}

// A recorded is a server that answers nothing, and knows what it was asked last.
type recorded struct{ path string }

var errRecorded = errors.New("it was recorded")

func (r *recorded) RoundTrip(request *http.Request) (*http.Response, error) {
	r.path = request.URL.EscapedPath()
	return nil, errRecorded
}

// Whatever is typed for a container, it is one name to the server, and never the way to
// something else of it.
func FuzzHandle(f *testing.F) {
	for _, handle := range []string{"b12-0123456789ab", "", ".", "..", "../../teams", "a/b", "%2e%2e", "x?team=other", "x#y", "\n", "\xff", "é"} {
		f.Add(handle)
	}
	f.Fuzz(func(t *testing.T, handle string) {
		var server recorded
		c, err := client.New(client.Options{URL: "http://midge.example", Team: "main", Wrap: func(http.RoundTripper) http.RoundTripper { return &server }})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Container(t.Context(), handle)
		name, found := strings.CutPrefix(server.path, "/api/v1/teams/main/containers/")
		if got, unescapeErr := url.PathUnescape(name); !found || strings.Contains(name, "/") || unescapeErr != nil || got != handle {
			t.Errorf("of the container %q %q is asked (%v)", handle, server.path, err)
		}
	})
}
