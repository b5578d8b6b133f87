package client

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestTrust(t *testing.T) {
	server := httptest.NewUnstartedServer(answer(200, "", `{"version":"8.0.0"}`))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	authority := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	for name, trust := range map[string]TLS{"by its authority": {CACert: authority}, "whatever it says": {Insecure: true}} {
		if _, err := testClient(t, server.URL, func(o *Options) { o.TLS = trust }).Info(t.Context()); err != nil {
			t.Errorf("trusted %s: %v", name, err)
		}
	}
	for name, trust := range map[string]TLS{"no authority": {CACert: "nonsense"}, "no certificate": {Cert: "x", Key: "y"}} {
		if _, err := New(Options{URL: server.URL, TLS: trust}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Requests go through what Options.Wrap gives.
func TestWrap(t *testing.T) {
	server := httptest.NewServer(answer(200, "", `{"version":"8.0.0"}`))
	defer server.Close()
	var paths []string
	c := testClient(t, server.URL, func(o *Options) {
		o.Wrap = func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				paths = append(paths, r.URL.Path)
				return next.RoundTrip(r)
			})
		}
	})
	if _, err := c.Info(t.Context()); err != nil || len(paths) != 1 || paths[0] != "/api/v1/info" {
		t.Errorf("%q, %v", paths, err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestDo(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, r.Method+" "+r.URL.RequestURI()+" "+r.Header.Get("X-Own")+" "+string(body))
	}))
	defer server.Close()
	c := testClient(t, server.URL, nil)
	response, err := c.Do(t.Context(), "PUT", "/a%20b?c=d", http.Header{"X-Own": {"mine"}}, []byte("body"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusTeapot || string(got) != "PUT /a%20b?c=d mine body" {
		t.Errorf("%s %s", response.Status, got)
	}
	if _, err := c.Do(t.Context(), "GET", "http://elsewhere/", nil, nil); err == nil {
		t.Error("a whole URL is taken for a path")
	}
}
