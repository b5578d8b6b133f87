package client

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// exchange is one request and its answer, as recorded between fly and a Concourse.
type exchange struct {
	method, target string
	requestHeader  map[string]string
	requestBody    string
	status         int
	header         map[string]string
	body           string
}

// readRecording gives the exchanges of a section of a file in testdata/wire. A request
// begins with ">>> METHOD TARGET", an answer with "<<< STATUS"; headers follow, a
// blank line and the body. "<N bytes of gzip>" stands for any bytes.
func readRecording(t *testing.T, file, section string) []exchange {
	t.Helper()
	content, err := os.ReadFile("../testdata/wire/" + file)
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(content), "### "+section+"\n")
	if !found {
		t.Fatalf("testdata/wire/%s has no section %q", file, section)
	}
	text, _, _ = strings.Cut(text, "\n### ")
	var exchanges []exchange
	for _, part := range strings.Split(text, ">>> ")[1:] {
		request, response, _ := strings.Cut(part, "<<< ")
		var e exchange
		var line string
		line, e.requestHeader, e.requestBody = readMessage(request)
		e.method, e.target, _ = strings.Cut(line, " ")
		line, e.header, e.body = readMessage(response)
		e.status, err = strconv.Atoi(line[:3])
		if err != nil {
			t.Fatal(err)
		}
		exchanges = append(exchanges, e)
	}
	return exchanges
}

func readMessage(text string) (first string, header map[string]string, body string) {
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

// replay serves the exchanges in their order, and fails the test at a request that
// was not recorded.
func replay(t *testing.T, exchanges []exchange) *httptest.Server {
	t.Helper()
	next := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if next == len(exchanges) {
			t.Errorf("unexpected %s %s after the last exchange", r.Method, r.URL)
			http.Error(w, "unexpected", http.StatusTeapot)
			return
		}
		e := exchanges[next]
		next++
		e.check(t, r)
		for name, value := range e.header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(e.status)
		w.Write([]byte(e.body + "\n\n"))
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
func (e exchange) check(t *testing.T, r *http.Request) {
	t.Helper()
	if r.Method != e.method || r.URL.RequestURI() != e.target {
		t.Errorf("got %s %s, recorded was %s %s", r.Method, r.URL.RequestURI(), e.method, e.target)
	}
	for name, want := range e.requestHeader {
		got := r.Header.Get(name)
		if name == "Authorization" {
			want = strings.Replace(want, "<token>", "the-token", 1)
		}
		if got != want {
			t.Errorf("%s %s: header %s is %q, recorded was %q", e.method, e.target, name, got, want)
		}
	}
	var body bytes.Buffer
	body.ReadFrom(bufio.NewReader(r.Body))
	switch {
	case strings.HasPrefix(e.requestBody, "{"):
		var got, want any
		if err := json.Unmarshal(body.Bytes(), &got); err != nil {
			t.Errorf("%s %s: %v", e.method, e.target, err)
		}
		if err := json.Unmarshal([]byte(e.requestBody), &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s %s: body is\n%s, recorded was\n%s", e.method, e.target, &body, e.requestBody)
		}
	case !strings.HasPrefix(e.requestBody, "<") && body.String() != e.requestBody:
		t.Errorf("%s %s: body is %q, recorded was %q", e.method, e.target, &body, e.requestBody)
	}
}

// replayed gives a client of a server that replays a section of a recording.
func replayed(t *testing.T, file, section string) *Client {
	t.Helper()
	server := replay(t, readRecording(t, file, section))
	c, err := New(Options{URL: server.URL, Token: "the-token"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}
