package server_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"midge/server"
	"midge/server/servertest"
)

// provider is an OpenID Connect provider with one user, who is always logged in there.
type provider struct {
	*httptest.Server
	t   *testing.T
	key *rsa.PrivateKey

	claims  map[string]any                      // of the user, besides those of the protocol
	distort func(header, claims map[string]any) // changes an id_token before it is signed; nil for no change
	code    map[string]url.Values               // what the browser was sent with, by the code it got
	refuse  string                              // an error instead of a code
}

const (
	providerClient = "midge-at-work"
	providerSecret = "for its ears alone"
)

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{t: t, key: key, code: map[string]url.Values{}, claims: map[string]any{
		"preferred_username": "ann", "groups": []string{"devs", "staff"}, "email": "ann@example.com",
	}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		p.answer(w, map[string]any{
			"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256"},
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, r *http.Request) {
		p.answer(w, map[string]any{"keys": []any{map[string]any{
			"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "1",
			"n": encoded(key.N.Bytes()), "e": encoded(big.NewInt(int64(key.E)).Bytes()),
		}}})
	})
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func encoded(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (p *provider) answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(value); err != nil {
		p.t.Error(err)
	}
}

// authorize sends the browser back with a code.
func (p *provider) authorize(w http.ResponseWriter, r *http.Request) {
	sent := r.URL.Query()
	answer := url.Values{"state": {sent.Get("state")}}
	if p.refuse != "" {
		answer.Set("error", p.refuse)
		answer.Set("error_description", "<b>not today</b>")
	} else {
		code := rand.Text()
		p.code[code] = sent
		answer.Set("code", code)
	}
	http.Redirect(w, r, sent.Get("redirect_uri")+"?"+answer.Encode(), http.StatusFound)
}

// token trades a code for an id_token, once, if who asks is who has sent the browser.
func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	sent, known := p.code[r.FormValue("code")]
	delete(p.code, r.FormValue("code"))
	id, secret, _ := r.BasicAuth()
	if id == "" {
		id, secret = r.FormValue("client_id"), r.FormValue("client_secret")
	}
	secret, _ = url.QueryUnescape(secret)
	challenge := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	if !known || id != providerClient || secret != providerSecret || sent.Get("client_id") != providerClient ||
		sent.Get("code_challenge") != encoded(challenge[:]) || sent.Get("redirect_uri") != r.FormValue("redirect_uri") {
		w.WriteHeader(http.StatusBadRequest)
		p.answer(w, map[string]any{"error": "invalid_grant"})
		return
	}
	now := time.Now()
	header := map[string]any{"alg": "RS256", "kid": "1"}
	claims := map[string]any{
		"iss": p.URL, "aud": providerClient, "sub": "42", "nonce": sent.Get("nonce"), "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	maps.Copy(claims, p.claims)
	if p.distort != nil {
		p.distort(header, claims)
	}
	p.answer(w, map[string]any{"access_token": "x", "token_type": "bearer", "expires_in": 3600, "id_token": p.sign(header, claims)})
}

// sign makes an id_token; one whose header says that it is not signed is not.
func (p *provider) sign(header, claims map[string]any) string {
	var parts []string
	for _, part := range []any{header, claims} {
		text, err := json.Marshal(part)
		if err != nil {
			p.t.Error(err)
		}
		parts = append(parts, encoded(text))
	}
	text := strings.Join(parts, ".")
	if header["alg"] == "none" {
		return text + "."
	}
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, p.key, crypto.SHA256, sum[:])
	if err != nil {
		p.t.Error(err)
	}
	return text + "." + encoded(signature)
}

// settings has a server let the provider's users in.
func (p *provider) settings(teams map[string]server.TeamRoles) servertest.Options {
	return servertest.Options{Configure: func(config *server.Config) {
		config.OIDC = server.OIDC{Issuer: p.URL, ClientID: providerClient, ClientSecret: providerSecret, DisplayName: "the <company>"}
		config.Teams = teams
	}}
}

var devsAreMembers = map[string]server.TeamRoles{
	"ci":  {"member": {Groups: []string{"oidc:devs"}}},
	"ops": {"viewer": {Users: []string{"oidc:ann"}}, "owner": {Users: []string{"local:test", "oidc:bob"}}},
}

// through sends a browser to a page of the server, by the provider, and gives the last
// answer that is not a redirect of the two to each other.
func (b *browser) through(t *testing.T, path string, p *provider) (*http.Response, string) {
	t.Helper()
	response, page := b.get(path)
	for range 3 {
		location, err := response.Location()
		if err != nil || "http://"+location.Host != p.URL && "http://"+location.Host != b.url {
			break
		}
		request, err := http.NewRequest("GET", location.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		response, page = b.send(request)
	}
	return response, page
}

func TestProviderLogin(t *testing.T) {
	p := newProvider(t)
	s := startServer(t, p.settings(devsAreMembers))
	b := newBrowser(t, s)
	_, page := b.get("/login?fly_port=1234")
	if !strings.Contains(page, `<a href="/login/oidc?fly_port=1234">Log in with the &lt;company&gt;</a>`) || !strings.Contains(page, `name="password"`) {
		t.Errorf("the page to log in is %s", page)
	}
	response, page := b.through(t, "/login/oidc?fly_port=1234", p)
	location := response.Header.Get("Location")
	encodedToken, isForFly := strings.CutPrefix(location, "http://127.0.0.1:1234/?token=bearer%20")
	token, err := url.QueryUnescape(encodedToken)
	if response.StatusCode != http.StatusSeeOther || !isForFly || err != nil {
		t.Fatalf("the browser ends with %s at %q: %s", response.Status, location, page)
	}
	ann := &user{t, s.URL, token}
	who := ann.want(http.StatusOK, "GET", "/api/v1/user", "")
	for _, want := range []string{`"name":"ann"`, `"connector":"oidc"`, `"ci":["member"]`, `"ops":["viewer"]`, `"is_admin":false`} {
		if !strings.Contains(who, want) {
			t.Errorf("the user is %s, which lacks %s", who, want)
		}
	}
	ann.want(http.StatusOK, "GET", "/api/v1/teams/ci/containers", "")
	ann.want(http.StatusNotFound, "GET", "/api/v1/teams/main/containers", "")

	// A token for scripts has the groups of the login that made it.
	made := ann.want(http.StatusCreated, "POST", "/api/v1/tokens", `{"name": "nightly"}`)
	var nightly struct{ Token string }
	if err := json.Unmarshal([]byte(made), &nightly); err != nil {
		t.Fatal(err)
	}
	(&user{t, s.URL, nightly.Token}).want(http.StatusOK, "GET", "/api/v1/teams/ci/containers", "")
}

func TestProviderLoginForPages(t *testing.T) {
	p := newProvider(t)
	s := startServer(t, p.settings(devsAreMembers))
	b := newBrowser(t, s)
	response, page := b.through(t, "/login/oidc?to=%2F", p)
	if response.StatusCode != http.StatusOK || !strings.Contains(page, `<span class="quiet">ann</span>`) {
		t.Errorf("got %s: %s", response.Status, page)
	}
	_, page = newBrowser(t, s).through(t, "/login/oidc?fly_port=1234&show=token", p)
	if !strings.Contains(page, `id="token">bearer `) {
		t.Errorf("the token is not shown: %s", page)
	}
}

// What the provider says is not taken on trust.
func TestProviderLoginRefused(t *testing.T) {
	tests := map[string]struct {
		change func(p *provider)
		status int
		want   string
	}{
		"the user refuses": {func(p *provider) { p.refuse = "access_denied" }, http.StatusForbidden, "access_denied &lt;b&gt;not today"},
		"no role":          {func(p *provider) { p.claims["preferred_username"] = "eve"; p.claims["groups"] = []string{"guests"} }, http.StatusForbidden, "You are oidc:eve here"},
		"no name":          {func(p *provider) { delete(p.claims, "preferred_username") }, http.StatusBadGateway, "it does not tell preferred_username, by which this server knows users, but: aud, email, exp, groups"},
		"a name of lines":  {func(p *provider) { p.claims["preferred_username"] = "ann\nbob" }, http.StatusBadGateway, "control characters"},
		"another login": {func(p *provider) {
			p.distort = func(_, claims map[string]any) { claims["nonce"] = "x" }
		}, http.StatusBadGateway, "is for another login"},
		"for another server": {func(p *provider) {
			p.distort = func(_, claims map[string]any) { claims["aud"] = "other" }
		}, http.StatusBadGateway, "audience"},
		"of another provider": {func(p *provider) {
			p.distort = func(_, claims map[string]any) { claims["iss"] = "https://evil.example" }
		}, http.StatusBadGateway, "different provider"},
		"expired": {func(p *provider) {
			p.distort = func(_, claims map[string]any) { claims["exp"] = time.Now().Add(-time.Hour).Unix() }
		}, http.StatusBadGateway, "expired"},
		"not signed": {func(p *provider) {
			p.distort = func(header, _ map[string]any) { header["alg"] = "none" }
		}, http.StatusBadGateway, "could not be asked"},
		"signed by another": {func(p *provider) {
			other, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				p.t.Fatal(err)
			}
			p.key = other
		}, http.StatusBadGateway, "signature"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			s := startServer(t, p.settings(devsAreMembers))
			test.change(p)
			b := newBrowser(t, s)
			response, page := b.through(t, "/login/oidc?fly_port=1234", p)
			if response.StatusCode != test.status || !strings.Contains(page, test.want) || response.Header.Get("Location") != "" {
				t.Errorf("got %s, want %q in %s", response.Status, test.want, page)
			}
			if response, _ := b.get("/"); response.StatusCode != http.StatusSeeOther {
				t.Errorf("afterwards, / answers %s", response.Status)
			}
		})
	}
}

// The code that a provider has given to one browser is of no use in another.
func TestProviderLoginOfAnotherBrowser(t *testing.T) {
	p := newProvider(t)
	s := startServer(t, p.settings(devsAreMembers))
	mallory := newBrowser(t, s)
	response, _ := mallory.get("/login/oidc?to=%2F")
	request, err := http.NewRequest("GET", response.Header.Get("Location"), nil)
	if err != nil {
		t.Fatal(err)
	}
	response, _ = mallory.send(request)
	callback := strings.TrimPrefix(response.Header.Get("Location"), s.URL)
	victim := newBrowser(t, s)
	for _, before := range []string{"/login", "/login/oidc?to=%2F"} {
		victim.get(before)
		if response, page := victim.get(callback); response.StatusCode != http.StatusBadRequest || !strings.Contains(page, "no login of yours") {
			t.Errorf("after %s: got %s: %s", before, response.Status, page)
		}
	}
}

// A provider that is away is no reason not to start, and its users come in when it is back.
func TestProviderAway(t *testing.T) {
	away := httptest.NewServer(http.NotFoundHandler())
	away.Close()
	p := &provider{Server: away}
	s := startServer(t, p.settings(nil))
	b := newBrowser(t, s)
	if response, page := b.get("/login/oidc"); response.StatusCode != http.StatusBadGateway || !strings.Contains(page, "could not be asked who you are") {
		t.Errorf("got %s: %s", response.Status, page)
	}
	testUser(t, s).want(http.StatusOK, "GET", "/api/v1/user", "")
}

// Without a provider its users are nobody, whatever tokens they have.
func TestProviderThatIsNoMore(t *testing.T) {
	p := newProvider(t)
	dir := filepath.Join(t.TempDir(), "data")
	start := func(with bool) *servertest.Server {
		return startServer(t, servertest.Options{Configure: func(config *server.Config) {
			config.DataDir = dir
			if with {
				p.settings(devsAreMembers).Configure(config)
			}
		}})
	}
	s := start(true)
	response, _ := newBrowser(t, s).through(t, "/login/oidc?fly_port=1234", p)
	_, encodedToken, _ := strings.Cut(response.Header.Get("Location"), "bearer%20")
	token, err := url.QueryUnescape(encodedToken)
	if err != nil {
		t.Fatal(err)
	}
	(&user{t, s.URL, token}).want(http.StatusOK, "GET", "/api/v1/user", "")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	s = start(false)
	(&user{t, s.URL, token}).want(http.StatusUnauthorized, "GET", "/api/v1/user", "")
	if response, _ := newBrowser(t, s).get("/login/oidc"); response.StatusCode != http.StatusNotFound {
		t.Errorf("the way to it answers %s", response.Status)
	}
}
