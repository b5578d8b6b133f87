package server_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"midge/server"
	"midge/server/servertest"
)

// tryLogin posts a login as fly does, with changes to the form.
func tryLogin(t *testing.T, s *servertest.Server, client string, form url.Values) (*http.Response, map[string]any) {
	t.Helper()
	anybody := &user{t: t, url: s.URL}
	header := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	if client != "" {
		header["Authorization"] = "Basic " + base64.StdEncoding.EncodeToString([]byte(client))
	}
	response := anybody.open("POST", "/sky/issuer/token", header, strings.NewReader(form.Encode()))
	body := map[string]any{}
	if err := json.Unmarshal([]byte(readAll(t, response)), &body); err != nil {
		t.Fatal(err)
	}
	return response, body
}

func loginForm(name, password string) url.Values {
	return url.Values{"grant_type": {"password"}, "username": {name}, "password": {password}, "scope": {"openid"}}
}

func TestLogin(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("hashed secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	s := startServer(t, servertest.Options{Configure: func(config *server.Config) {
		config.Users = append(config.Users, server.LocalUser{Name: "ann", Password: string(hash)})
	}})
	refresh := loginForm("ann", "hashed secret")
	refresh.Set("grant_type", "refresh_token")
	byForm := loginForm("ann", "hashed secret")
	byForm.Set("client_id", "fly")
	byForm.Set("client_secret", "Zmx5")
	tests := []struct {
		name   string
		client string
		form   url.Values
		status int
		code   string // of the error
	}{
		{"plain password", "fly:Zmx5", loginForm("test", "secret"), 200, ""},
		{"hashed password", "fly:Zmx5", loginForm("ann", "hashed secret"), 200, ""},
		{"client in the form", "", byForm, 200, ""},
		{"wrong password", "fly:Zmx5", loginForm("test", "Secret"), 401, "access_denied"},
		{"the hash as password", "fly:Zmx5", loginForm("ann", string(hash)), 401, "access_denied"},
		{"unknown user", "fly:Zmx5", loginForm("bob", "secret"), 401, "access_denied"},
		{"long password", "fly:Zmx5", loginForm("test", strings.Repeat("s", 73)), 401, "access_denied"},
		{"unknown client", "sly:Zmx5", loginForm("test", "secret"), 401, "invalid_client"},
		{"no client", "", loginForm("test", "secret"), 401, "invalid_client"},
		{"other grant", "fly:Zmx5", refresh, 400, "unsupported_grant_type"},
		{"long form", "fly:Zmx5", loginForm("test", strings.Repeat("s", 20_000)), 400, "invalid_request"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			response, body := tryLogin(t, s, test.client, test.form)
			if response.StatusCode != test.status {
				t.Fatalf("got status %d, want %d: %v", response.StatusCode, test.status, body)
			}
			if code, _ := body["error"].(string); code != test.code {
				t.Errorf("got error %q, want %q", code, test.code)
			}
			if test.code != "" {
				return
			}
			token, _ := body["access_token"].(string)
			someone := &user{t, s.URL, token}
			someone.want(http.StatusOK, "GET", "/api/v1/user", "")
		})
	}
}

func TestTokenTellsFlyWhenItExpires(t *testing.T) {
	s := startServer(t, servertest.Options{})
	before := time.Now().Add(24 * time.Hour).Truncate(time.Second)
	raw, err := base64.RawStdEncoding.DecodeString(testUser(t, s).token)
	if err != nil || len(raw) != 28 {
		t.Fatalf("the token has %d bytes, %v; fly wants 28", len(raw), err)
	}
	seconds := int64(0)
	for i := 7; i >= 0; i-- {
		seconds = seconds<<8 | int64(raw[20+i])
	}
	if expires := time.Unix(seconds, 0); expires.Before(before) || expires.After(time.Now().Add(24*time.Hour)) {
		t.Errorf("the token expires at %v, want a day from now", expires)
	}
}

func TestWithoutLogin(t *testing.T) {
	s := startServer(t, servertest.Options{})
	for _, authorization := range []string{"", "Bearer", "Bearer nonsense", "Basic dGVzdDpzZWNyZXQ=", "Bearer " + strings.Repeat("x", 10_000)} {
		anybody := &user{t: t, url: s.URL}
		for _, path := range []string{"/api/v1/user", "/api/v1/teams", "/api/v1/builds", "/api/v1/builds/1", "/api/v1/builds/1/events",
			"/api/v1/teams/main", "/api/v1/teams/main/containers", "/api/v1/teams/main/artifacts/1", "/api/v1/workers", "/api/v1/wall"} {
			response := anybody.open("GET", path, map[string]string{"Authorization": authorization}, nil)
			if body := readAll(t, response); response.StatusCode != http.StatusUnauthorized || !strings.Contains(body, "log in") {
				t.Errorf("%s with %.20q: got %d, %s", path, authorization, response.StatusCode, body)
			}
		}
		anybody.want(http.StatusOK, "GET", "/api/v1/info", "")
	}
}

func TestExpiredToken(t *testing.T) {
	s := startServer(t, servertest.Options{Configure: func(config *server.Config) { config.AuthDuration = time.Nanosecond }})
	someone := testUser(t, s)
	if body := someone.want(http.StatusUnauthorized, "GET", "/api/v1/user", ""); !strings.Contains(body, "expired") {
		t.Errorf("got %q, want that the login has expired", body)
	}
}

func TestLogout(t *testing.T) {
	s := startServer(t, servertest.Options{})
	one, other := testUser(t, s), testUser(t, s)
	one.want(http.StatusOK, "GET", "/sky/logout", "")
	one.want(http.StatusUnauthorized, "GET", "/api/v1/user", "")
	other.want(http.StatusOK, "GET", "/api/v1/user", "")
}

func TestTokenOutlivesRestartButNotItsUser(t *testing.T) {
	users := []server.LocalUser{{Name: "ann", Password: "a"}, {Name: "bob", Password: "b"}}
	s := startServer(t, servertest.Options{Configure: func(config *server.Config) { config.Users = users }})
	ann, bob := logIn(t, s, "ann", "a"), logIn(t, s, "bob", "b")
	users[1].Name = "carl"
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	ann.want(http.StatusOK, "GET", "/api/v1/user", "")
	bob.want(http.StatusUnauthorized, "GET", "/api/v1/user", "")
}

func TestTokensAreNotStored(t *testing.T) {
	s := startServer(t, servertest.Options{})
	someone := testUser(t, s)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if found := filesWith(t, s.DataDir, someone.token); len(found) > 0 {
		t.Errorf("the token is in %v", found)
	}
}

func TestManyRightPasswords(t *testing.T) {
	s := startServer(t, servertest.Options{})
	for range 20 {
		testUser(t, s)
	}
}
