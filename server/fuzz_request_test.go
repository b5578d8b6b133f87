package server_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"midge/server/servertest"
)

// Whatever is asked, by whomever, has an answer that does not blame the server, and who
// has not logged in has none of the API's.
func FuzzRequest(f *testing.F) {
	s := startServer(f, servertest.Options{})
	token, err := s.Login(f.Context(), servertest.User, servertest.Password)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []struct{ method, target, header, body string }{
		{"GET", "/api/v1/builds?limit=-1&since=x", "", ""},
		{"POST", "/api/v1/teams/main/builds", "", `{"id":"1","task":{"name":"t","config":{"platform":"linux","run":{"path":"true"}}}}`},
		{"GET", "/api/v1/builds/1/events", "Last-Event-ID: -1", ""},
		{"GET", "/api/v1/teams/main/containers/x/files/content?path=../..", "Range: bytes=9-1", ""},
		{"POST", "/api/v1/teams/main/artifacts", "Content-Encoding: zstd", "\x28\xb5\x2f\xfd"},
		{"POST", "/api/v1/teams/main/artifacts/missing", "Content-Type: x/y", "\x00\x01"},
		{"PUT", "/api/v1/builds/1/hold?for=-1h", "", ""},
		{"POST", "/sky/issuer/token", "Content-Type: application/x-www-form-urlencoded", "grant_type=password&username=test&password=%00"},
		{"GET", "/builds/999999999999999999999", "Cookie: midge_session=x; =", ""},
		{"PUT", "/api/v1/wall", "", `{"message":1}`},
		{"GET", "/api/v1/traces/0", "traceparent: 00-x", ""},
		{"GET", "/%2e%2e/%00", "Accept-Encoding: zstd;q=x", ""},
		{"GET", "/api/v1/teams/main/containers/x/hijack", "Upgrade: websocket", ""},
	} {
		f.Add(seed.method, seed.target, seed.header, seed.body, true)
		f.Add(seed.method, seed.target, seed.header, seed.body, false)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	f.Cleanup(client.CloseIdleConnections)
	f.Fuzz(func(t *testing.T, method, target, header, body string, loggedIn bool) {
		if !strings.HasPrefix(target, "/") {
			return
		}
		request, err := http.NewRequestWithContext(t.Context(), method, s.URL+target, strings.NewReader(body))
		if err != nil {
			return
		}
		if name, value, ok := strings.Cut(header, ":"); ok {
			request.Header.Set(strings.TrimSpace(name), strings.TrimSpace(value))
		}
		request.Header.Del("Authorization")
		if loggedIn {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		response, err := client.Do(request)
		if err != nil {
			return // the client did not send it
		}
		// A stream of events has no end, and a page is long: the beginning tells.
		defer response.Body.Close()
		if status := response.StatusCode; status >= http.StatusInternalServerError {
			answer, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10))
			t.Errorf("status %d: %s", status, answer)
		}
		if path := request.URL.Path; !loggedIn && response.StatusCode/100 == 2 && strings.HasPrefix(path, "/api/v1/") && path != "/api/v1/info" {
			t.Errorf("nobody is answered with status %d", response.StatusCode)
		}
	})
}
