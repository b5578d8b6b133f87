package security

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
)

// Who has not logged in is told of nothing and may do nothing, by whatever way.
func TestStrangersGetNothing(t *testing.T) {
	s := start(t)
	s.Midge("execute", "-c", s.Script("task", "echo secret; exit 1", "")).Want(t, 1)
	stranger := &user{t: t, url: s.URL()}
	for _, request := range []string{
		"GET /api/v1/builds", "GET /api/v1/builds/1", "GET /api/v1/builds/1/events", "GET /api/v1/teams", "GET /api/v1/user",
		"GET /api/v1/workers", "GET /api/v1/status", "GET /metrics", "GET /api/v1/wall", "GET /api/v1/tokens",
		"POST /api/v1/tokens", "POST /api/v1/teams/main/builds", "POST /api/v1/teams/main/artifacts",
		"POST /api/v1/teams/main/artifacts/missing", "GET /api/v1/teams/main/containers", "GET /api/v1/teams/main/sessions",
		"GET /api/v1/traces/00000000000000000000000000000001",
		// Names that are no names.
		"GET /api/v1/teams/..%2f..%2fmain/containers", "GET /api/v1/teams/main%00/builds", "GET /api/v1/builds/..%2f..%2fmidge.db",
	} {
		method, path, _ := strings.Cut(request, " ")
		if status, body := stranger.do(method, path, ""); status != http.StatusUnauthorized && status != http.StatusNotFound || strings.Contains(body, "secret") {
			t.Errorf("%s: status %d: %s", request, status, body)
		}
	}
	for _, token := range []string{"x", strings.Repeat("a", 1<<15), "null", "0", "' OR '1'='1"} {
		stranger.token = token
		stranger.want(http.StatusUnauthorized, "GET", "/api/v1/builds", "")
	}
}

// No path leads to a file of the machine.
func TestPathsDoNotLeadToFiles(t *testing.T) {
	s := start(t)
	s.Write("src/file", "x\n")
	s.Midge("artifacts", "push", s.Path("src")).Want(t, 0)
	ann := logIn(t, s, "ann")
	for _, path := range []string{
		"/../../../../etc/passwd", "/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "/static/../../../../etc/passwd", "//etc/passwd",
		"/api/v1/builds/1/../../../../etc/passwd", "/builds/..%2f..%2f..%2fetc%2fpasswd",
		"/api/v1/teams/main/artifacts/1?file=../../../../../../etc/passwd", "/api/v1/teams/main/artifacts/1?file=/etc/passwd",
		"/api/v1/teams/main/artifacts/1?file=file/../../../../../etc/passwd", "/api/v1/teams/main/artifacts/..%2f..%2fmidge.db",
	} {
		if status, body := rawGet(t, ann, path); status/100 == 2 || strings.Contains(body, "root:") {
			t.Errorf("%s: status %d: %s", path, status, body)
		}
	}
}

// rawGet asks for a path as it stands: net/http would clean it.
func rawGet(t *testing.T, u *user, path string) (status int, body string) {
	t.Helper()
	conn := dial(t, u.url)
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: midge\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n", path, u.token)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func dial(t *testing.T, url string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// What follows a request that is refused is not taken for another one.
func TestRequestsAreNotSmuggled(t *testing.T) {
	s := start(t)
	ann := logIn(t, s, "ann")
	// The second would be seen by what it does: it writes on the wall.
	second := "PUT /api/v1/wall HTTP/1.1\r\nHost: midge\r\nAuthorization: Bearer " + ann.token +
		"\r\nContent-Length: 22\r\n\r\n{\"message\":\"smuggled\"}\n"
	for name, first := range map[string]string{
		"length and chunks":  "POST /api/v1/tokens HTTP/1.1\r\nHost: midge\r\nContent-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n",
		"two lengths":        "POST /api/v1/tokens HTTP/1.1\r\nHost: midge\r\nContent-Length: 0\r\nContent-Length: %d\r\n\r\n",
		"unknown encoding":   "POST /api/v1/tokens HTTP/1.1\r\nHost: midge\r\nContent-Length: %d\r\nTransfer-Encoding: xchunked\r\n\r\n",
		"space before colon": "POST /api/v1/tokens HTTP/1.1\r\nHost: midge\r\nContent-Length : %d\r\nTransfer-Encoding: chunked\r\n\r\n",
		"login too long":     "POST /sky/issuer/token HTTP/1.1\r\nHost: midge\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n" + strings.Repeat("a", 17<<10),
		"no login":           "POST /api/v1/teams/main/artifacts HTTP/1.1\r\nHost: midge\r\nContent-Length: %d\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, s.URL())
			length := len(second)
			if name == "login too long" {
				length += 17 << 10
			}
			// The server may close before all of it is written.
			_, _ = fmt.Fprintf(conn, first+"%s", length, second)
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.CloseWrite()
			}
			_, _ = io.Copy(io.Discard, conn)
			if wall := ann.want(http.StatusOK, "GET", "/api/v1/wall", ""); strings.Contains(wall, "smuggled") {
				t.Errorf("the second request was run: %s", wall)
			}
		})
	}
}

// Headers that others set in front of a server mean nothing to it.
func TestHeadersAreNotBelieved(t *testing.T) {
	s := start(t)
	request, err := http.NewRequestWithContext(t.Context(), "GET", s.URL()+"/api/v1/builds", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"X-Forwarded-User", "X-Remote-User", "Remote-User", "X-Forwarded-For", "X-Real-Ip", "X-Original-Url"} {
		request.Header.Set(name, "ann")
	}
	request.Header.Set("Cookie", "skymarshal_auth=bearer x; midge_session=x")
	if status, body := answerTo(t, request); status != http.StatusUnauthorized {
		t.Errorf("status %d: %s", status, body)
	}
	conn := dial(t, s.URL())
	fmt.Fprintf(conn, "GET /healthz HTTP/1.1\r\nHost: midge\r\nX: %s\r\n\r\n", strings.Repeat("x", 1<<20))
	if answer, err := bufio.NewReader(conn).ReadString('\n'); err == nil && !strings.Contains(answer, "431") {
		t.Errorf("a header of a megabyte is answered with %q", answer)
	}
}

// Guessing is slow, also for who says to come from elsewhere.
func TestGuessing(t *testing.T) {
	s := start(t)
	refused := 0
	for i := range 30 {
		header := http.Header{"X-Forwarded-For": {fmt.Sprintf("192.0.2.%d", i)}}
		status, body := tryLogin(t, s, "ann", fmt.Sprint("guess", i), header)
		switch status {
		case http.StatusUnauthorized:
		case http.StatusTooManyRequests:
			refused++
		default:
			t.Errorf("a wrong password is answered with %d: %s", status, body)
		}
	}
	// Each guess costs the server some of the time in which it grants another.
	if refused < 10 {
		t.Errorf("of 30 guesses %d were refused", refused)
	}
}

// The socket is for its owner and group, from the first moment.
func TestSocketIsClosedToOthers(t *testing.T) {
	s := start(t)
	info, err := os.Stat(s.Path("midge.sock"))
	if err != nil || info.Mode().Perm()&0o007 != 0 {
		t.Errorf("the socket has mode %v (%v)", info.Mode(), err)
	}
	info, err = os.Stat(s.DataDir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the data dir has mode %v (%v)", info.Mode(), err)
	}
}
