package client

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
)

// Whatever a server says of an error, it is one line, that can be shown.
func FuzzServerMessage(f *testing.F) {
	for _, body := range []string{`{"error":"no"}`, `{"errors":["a","b"]}`, `{"stderr":"\u001b[2J"}`, "plain", "\x1b]0;title\a\n", "{", ""} {
		f.Add("text/plain", []byte(body))
		f.Add("application/json", []byte(body))
	}
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		response := &http.Response{Header: http.Header{"Content-Type": {contentType}}}
		message := ServerMessage(response, body)
		if len(message) > maxMessageShown+len("...") {
			t.Errorf("the message has %d bytes", len(message))
		}
		if strings.ContainsFunc(message, unicode.IsControl) {
			t.Errorf("the message %q has a control character", message)
		}
	})
}

func FuzzTargetsFile(f *testing.F) {
	for _, text := range []string{
		"targets:\n  ci:\n    api: https://ci.example\n    team: main\n    token: {type: bearer, value: x}\n",
		"targets: {}", "targets: []", "targets:\n  a: null", "", "\x00", "a: &a [*a]",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "targets")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if targets, err := readTargets(path); err == nil && targets == nil {
			t.Error("it gave neither targets nor an error")
		}
	})
}

// A URL that is taken for a server's gives a base for requests that has neither a user
// nor a query, and no other scheme than HTTP's.
func FuzzParseURL(f *testing.F) {
	for _, text := range []string{"http://h:1/base/", "https://u:p@h?q#f", "unix:///run/midge.sock", "unix://h/x", "file:///etc/passwd", "http://", "http://[::1", "//h"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		base, socket, err := parseURL(text)
		if err != nil {
			return
		}
		if base.Host == "" || base.User != nil || base.RawQuery != "" || base.Scheme != "http" && base.Scheme != "https" || socket != "" && base.Host != "midge" {
			t.Errorf("%q gave %+v and the socket %q", text, base, socket)
		}
	})
}
