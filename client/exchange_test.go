package client

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
)

// exchange posts a body below the artifacts of a server.
func exchange(t *testing.T, c *Client, path, body string) (*http.Response, string, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.ArtifactsURL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := c.Exchange(request)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(content), nil
}

// A request gets where it should with what proves who sends it, by TCP below a path and
// by a socket, and answers that are about it are the caller's.
func TestExchange(t *testing.T) {
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.ContentLength != int64(len(body)) {
			t.Errorf("%d bytes have come of %d, %v", len(body), r.ContentLength, err)
		}
		w.WriteHeader(http.StatusConflict)
		io.WriteString(w, r.RequestURI+" "+r.Header.Get("Authorization")+" "+string(body))
	})
	byTCP := httptest.NewServer(echo)
	defer byTCP.Close()
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	bySocket := &httptest.Server{Listener: listener, Config: &http.Server{Handler: echo}}
	bySocket.Start()
	defer bySocket.Close()

	names := map[string]bool{}
	for url, prefix := range map[string]string{byTCP.URL + "/below": "/below", byTCP.URL: "", "unix://" + socket: ""} {
		c, err := New(Options{URL: url, Team: "a/b", Token: "secret"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		response, body, err := exchange(t, c, "/objects?tree=1%2F2", "content")
		if err != nil {
			t.Fatal(err)
		}
		want := prefix + "/api/v1/teams/a%2Fb/artifacts/objects?tree=1%2F2 Bearer secret content"
		if response.StatusCode != http.StatusConflict || body != want {
			t.Errorf("%s: %d %q, want %q", url, response.StatusCode, body, want)
		}
		names[c.ArtifactsName()] = true
	}
	if len(names) != 3 {
		t.Errorf("three servers have the names %v", names)
	}
}

// A server that is busy, or cuts the connection, is asked again with the whole body.
func TestExchangeAgain(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		switch asked.Add(1) {
		case 1:
			w.WriteHeader(http.StatusTooManyRequests)
		case 2:
			w.WriteHeader(http.StatusBadGateway)
		case 3:
			panic(http.ErrAbortHandler)
		default:
			w.Write(body)
		}
	}))
	defer server.Close()
	c, err := New(Options{URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, body, err := exchange(t, c, "/objects", "content"); err != nil || body != "content" {
		t.Errorf("%q, %v after %d requests", body, err, asked.Load())
	}
}

// What no repetition mends is an error at once.
func TestExchangeRefused(t *testing.T) {
	is := func(err, want error) bool { return reflect.TypeOf(err) == reflect.TypeOf(want) }
	for status, want := range map[int]error{
		http.StatusUnauthorized: &UnauthorizedError{},
		http.StatusForbidden:    &ForbiddenError{},
		http.StatusFound:        &RedirectError{},
	} {
		var asked atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			w.Header().Set("Location", "/")
			w.WriteHeader(status)
		}))
		defer server.Close()
		c, err := New(Options{URL: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _, err = exchange(t, c, "/objects", "content")
		if !is(err, want) || asked.Load() != 1 {
			t.Errorf("status %d: %v after %d requests", status, err, asked.Load())
		}
	}
}
