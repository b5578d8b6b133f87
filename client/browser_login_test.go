package client

import (
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestBrowserLoginTakesOneToken(t *testing.T) {
	c := testClient(t, "https://ci.example.com:8443/sub/", nil)
	login, err := c.StartBrowserLogin()
	if err != nil {
		t.Fatal(err)
	}
	page, port, _ := strings.Cut(login.URL, "?fly_port=")
	if page != "https://ci.example.com:8443/sub/login" {
		t.Errorf("the page is %s", page)
	}
	// A browser's connection does not outlive the page.
	browser := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	send := func(method, host, token string, header ...string) *http.Response {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:"+port+"/?token="+url.QueryEscape(token), nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = host + ":" + port
		for i := 0; i < len(header); i += 2 {
			request.Header.Set(header[i], header[i+1])
		}
		response, err := browser.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response
	}
	if got := send("GET", "evil.example", "bearer abc").StatusCode; got != http.StatusForbidden {
		t.Errorf("a page of another name is answered %d", got)
	}
	for _, token := range []string{"", "bearer", "basic x y", "bearer a\tb", "bearer \u00fc"} {
		if got := send("GET", "127.0.0.1", token).StatusCode; got != http.StatusBadRequest {
			t.Errorf("token %q is answered %d", token, got)
		}
	}
	asked := send("OPTIONS", "127.0.0.1", "bearer abc", "Access-Control-Request-Private-Network", "true")
	if asked.Header.Get("Access-Control-Allow-Private-Network") != "true" || asked.Header.Get("Access-Control-Allow-Origin") != "https://ci.example.com:8443" {
		t.Errorf("a script that asks whether it may is told %v", asked.Header)
	}
	select {
	case token := <-login.Received():
		t.Fatalf("%q is taken for a token", token.Value)
	default:
	}
	if got := send("GET", "localhost", "Bearer abc").StatusCode; got != http.StatusOK {
		t.Errorf("a script that brings a token is answered %d", got)
	}
	sentOn := send("GET", "127.0.0.1", "Bearer other", "Upgrade-Insecure-Requests", "1")
	if to := sentOn.Header.Get("Location"); to != "https://ci.example.com:8443/sub/fly_success?noop=true" {
		t.Errorf("the browser is sent on to %q", to)
	}
	if token := <-login.Received(); token.Value != "abc" {
		t.Errorf("the token is %q", token.Value)
	}
	login.Close()
	if response, err := browser.Get("http://127.0.0.1:" + port + "/?token=abc"); err == nil {
		response.Body.Close()
		t.Error("it still listens")
	}
}

func TestParseToken(t *testing.T) {
	expires := time.Unix(1_800_000_000, 0)
	own := binary.LittleEndian.AppendUint64(make([]byte, 20), uint64(expires.Unix()))
	timed := base64.RawStdEncoding.EncodeToString(own)
	tests := []struct {
		text, value string
		expires     time.Time
	}{
		{"bearer " + timed, timed, expires},
		{" Bearer  " + timed + "\n", timed, expires},
		{timed, timed, expires},
		{base64.RawStdEncoding.EncodeToString(make([]byte, 28)), base64.RawStdEncoding.EncodeToString(make([]byte, 28)), time.Time{}},
		{"a.b.c", "a.b.c", time.Time{}},
	}
	for _, test := range tests {
		token, err := ParseToken(test.text)
		if err != nil || token.Value != test.value || !token.Expires.Equal(test.expires) {
			t.Errorf("%q: %+v, %v", test.text, token, err)
		}
	}
}
