// Package security attacks a real server and its real containers, as docs/security.md
// says who might. Each test is an attack that has to fail.
package security

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"midge/test/realserver"
)

func TestMain(m *testing.M) { os.Exit(realserver.Main(m)) }

// settings are the users: ann administers the server, red and blue have a team each.
const settings = `
add-local-user: ["ann:ann-secret", "red:red-secret", "blue:blue-secret"]
teams:
  main: {owner: {users: ["local:ann"]}}
  red: {owner: {users: ["local:red"]}}
  blue: {owner: {users: ["local:blue"]}}
`

// start starts a server with the teams red and blue.
func start(t *testing.T, args ...string) *realserver.Server {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(settings); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return realserver.Start(t, realserver.Options{Args: append([]string{"--config", file.Name()}, args...)})
}

// user is somebody who sends requests; without a token, nobody.
type user struct {
	t     *testing.T
	url   string
	token string
}

// logIn gives a user who has logged in.
func logIn(t *testing.T, s *realserver.Server, name string) *user {
	t.Helper()
	status, body := tryLogin(t, s, name, name+"-secret", nil)
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK {
		t.Fatalf("log in as %s: status %d, %s", name, status, body)
	}
	return &user{t, s.URL(), answer.AccessToken}
}

func tryLogin(t *testing.T, s *realserver.Server, name, password string, header http.Header) (status int, body string) {
	t.Helper()
	form := url.Values{"grant_type": {"password"}, "username": {name}, "password": {password}}
	request, err := http.NewRequestWithContext(t.Context(), "POST", s.URL()+"/sky/issuer/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	request.SetBasicAuth("fly", "Zmx5")
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return answerTo(t, request)
}

// do sends a request and gives its answer.
func (u *user) do(method, path, body string) (status int, answer string) {
	u.t.Helper()
	request, err := http.NewRequestWithContext(u.t.Context(), method, u.url+path, strings.NewReader(body))
	if err != nil {
		u.t.Fatal(err)
	}
	if u.token != "" {
		request.Header.Set("Authorization", "Bearer "+u.token)
	}
	return answerTo(u.t, request)
}

// want checks the status of an answer, and gives its body.
func (u *user) want(status int, method, path, body string) string {
	u.t.Helper()
	got, answer := u.do(method, path, body)
	if got != status {
		u.t.Errorf("%s %s: status %d, want %d: %s", method, path, got, status, answer)
	}
	return answer
}

func answerTo(t *testing.T, request *http.Request) (status int, body string) {
	t.Helper()
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
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

// wantNoneNamed checks that none of the directories has something of a name.
func wantNoneNamed(t *testing.T, name string, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s has %s (%v)", dir, name, err)
		}
	}
}
