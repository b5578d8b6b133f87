// Package clienttest serves what a real Concourse answered to a real fly, for tests of
// those who talk to one. The exchanges are in testdata/wire of this repository.
package clienttest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Token is the one that recorded requests carry.
const Token = "the-token"

// Exchange is one request and its answer.
type Exchange struct {
	Method, Target string
	RequestHeader  map[string]string
	RequestBody    string
	Status         int
	Header         map[string]string
	Body           string
}

// Read gives the exchanges of a section of a file of testdata/wire. A request begins
// with ">>> METHOD TARGET", an answer with "<<< STATUS"; headers follow, a blank line
// and the body. A body "<N bytes of gzip>" stands for any.
func Read(t *testing.T, file, section string) []Exchange {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(moduleRoot(t), "testdata", "wire", file))
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(content), "### "+section+"\n")
	if !found {
		t.Fatalf("testdata/wire/%s has no section %q", file, section)
	}
	text, _, _ = strings.Cut(text, "\n### ")
	var exchanges []Exchange
	for _, part := range strings.Split(text, ">>> ")[1:] {
		request, response, _ := strings.Cut(part, "<<< ")
		var e Exchange
		var line string
		line, e.RequestHeader, e.RequestBody = cutMessage(request)
		e.Method, e.Target, _ = strings.Cut(line, " ")
		line, e.Header, e.Body = cutMessage(response)
		if e.Status, err = strconv.Atoi(line[:3]); err != nil {
			t.Fatal(err)
		}
		if e.Header["Content-Type"] != "application/octet-stream" {
			e.Body += "\n\n" // which ends the last event of a stream, and harms no JSON
		}
		exchanges = append(exchanges, e)
	}
	return exchanges
}

// moduleRoot gives the directory of go.mod.
func moduleRoot(t *testing.T) string {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("there is no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
}

func cutMessage(text string) (first string, header map[string]string, body string) {
	head, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	header = map[string]string{}
	for _, line := range lines[1:] {
		if name, value, ok := strings.Cut(line, ": "); ok {
			header[name] = value
		}
	}
	return lines[0], header, strings.TrimRight(body, "\n")
}

// Replay serves the exchanges in their order. A request that is not the next one fails
// the test, and so does one that never comes.
func Replay(t *testing.T, exchanges []Exchange) *httptest.Server {
	t.Helper()
	var mu sync.Mutex
	next := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if next == len(exchanges) {
			t.Errorf("unexpected %s %s after the last exchange", r.Method, r.URL)
			http.Error(w, "unexpected", http.StatusTeapot)
			return
		}
		e := exchanges[next]
		next++
		e.check(t, r)
		for name, value := range e.Header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(e.Status)
		io.WriteString(w, e.Body)
	}))
	t.Cleanup(func() {
		server.Close()
		if next != len(exchanges) {
			t.Errorf("%d of %d recorded requests were sent", next, len(exchanges))
		}
	})
	return server
}

// check compares a request with the recorded one.
func (e Exchange) check(t *testing.T, r *http.Request) {
	t.Helper()
	if r.Method != e.Method || r.URL.RequestURI() != e.Target {
		t.Errorf("got %s %s, recorded was %s %s", r.Method, r.URL.RequestURI(), e.Method, e.Target)
	}
	for name, want := range e.RequestHeader {
		if name == "Authorization" {
			want = strings.Replace(want, "<token>", Token, 1)
		}
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s %s: header %s is %q, recorded was %q", e.Method, e.Target, name, got, want)
		}
	}
	body, err := io.ReadAll(r.Body)
	switch {
	case err != nil:
		t.Errorf("%s %s: %v", e.Method, e.Target, err)
	case strings.HasPrefix(e.RequestBody, "{"):
		e.checkJSON(t, body)
	case !strings.HasPrefix(e.RequestBody, "<") && string(body) != e.RequestBody:
		t.Errorf("%s %s: body is %q, recorded was %q", e.Method, e.Target, body, e.RequestBody)
	}
}

func (e Exchange) checkJSON(t *testing.T, body []byte) {
	t.Helper()
	got, want := decode(t, body), decode(t, []byte(e.RequestBody))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s %s: body is\n%s, recorded was\n%s", e.Method, e.Target, body, e.RequestBody)
	}
}

// decode reads JSON, but for the ids of plans: each client numbers its own.
func decode(t *testing.T, text []byte) any {
	t.Helper()
	var value any
	if err := json.Unmarshal(bytes.TrimSpace(text), &value); err != nil {
		t.Errorf("decode %s: %v", text, err)
	}
	return withoutIDs(value)
}

func withoutIDs(value any) any {
	switch value := value.(type) {
	case map[string]any:
		delete(value, "id")
		for name, field := range value {
			value[name] = withoutIDs(field)
		}
	case []any:
		for i := range value {
			value[i] = withoutIDs(value[i])
		}
	}
	return value
}
