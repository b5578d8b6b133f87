package server

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// Whatever a cookie says of a login that was begun, it is taken for this one only with
// the state that the provider sends back.
func FuzzReadPending(f *testing.F) {
	for _, text := range []string{`{"State":"s","Nonce":"n","Verifier":"v","FlyPort":"1","To":"/"}`, `{"State":""}`, `{}`, `null`, `[`} {
		f.Add(base64.RawURLEncoding.EncodeToString([]byte(text)), "s")
	}
	f.Add("a=b; c", "")
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"State":"s"}`)), "another")
	f.Fuzz(func(t *testing.T, cookie, state string) {
		r := httptest.NewRequest("GET", callbackPath+"?state="+url.QueryEscape(state), nil)
		r.Header.Set("Cookie", pendingCookie+"="+cookie)
		if pending, ok := readPending(r); ok && (state == "" || pending.State != state) {
			t.Errorf("%q was taken for the login %q", cookie, state)
		}
	})
}

// A page that a login leads on to is one of this server's, for every browser.
func FuzzIsOwnPath(f *testing.F) {
	for _, reference := range []string{"/builds/1?x=y#z", "//evil.example", `/\evil.example`, "/\t/evil.example", "https://evil.example", "", "/%2f/evil"} {
		f.Add(reference)
	}
	f.Fuzz(func(t *testing.T, reference string) {
		if !isOwnPath(reference) {
			return
		}
		// Browsers take a backslash for a slash, and pass over tabs and line ends.
		seen := strings.NewReplacer(`\`, "/", "\t", "", "\n", "", "\r", "").Replace(strings.TrimSpace(reference))
		base := &url.URL{Scheme: "https", Host: "midge.example"}
		if to, err := base.Parse(seen); err != nil || to.Host != base.Host || to.Scheme != base.Scheme {
			t.Errorf("%q leads to %v (%v)", reference, to, err)
		}
	})
}

// Whatever a provider says of somebody, the user that becomes of it has a name that can
// be shown.
func FuzzClaims(f *testing.F) {
	for _, claims := range []string{
		`{"preferred_username":"ann","groups":["a","b"]}`, `{"preferred_username":["ann"],"groups":"a"}`,
		`{"preferred_username":"\u001b[2J","groups":[1,null,{}]}`, `{"email":"a@b","email_verified":false}`, `{}`,
	} {
		f.Add([]byte(claims), "preferred_username")
		f.Add([]byte(claims), "email")
	}
	f.Fuzz(func(t *testing.T, text []byte, key string) {
		var claims map[string]any
		if json.Unmarshal(text, &claims) != nil {
			return
		}
		user, err := OIDC{UserNameKey: key, GroupsKey: "groups"}.user(claims)
		if err != nil {
			return
		}
		if user.name == "" || len(user.name) > maxUserName || strings.ContainsAny(user.name, "\x00\x1b\n\x7f") {
			t.Errorf("%s is the user %q", text, user.name)
		}
		if subject := (&identity{connector: connectorOIDC, name: user.name}).subject(); subject == "" {
			t.Errorf("%q has no subject", user.name)
		}
	})
}

// provider is an OpenID Connect provider that answers with these bytes.
type provider struct{ configuration, token, keys []byte }

func (p provider) RoundTrip(r *http.Request) (*http.Response, error) {
	body := p.keys
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		body = p.configuration
	case "/token":
		body = p.token
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(string(body))), Request: r,
	}, nil
}

// Whatever a provider answers that has signed nothing, nobody is logged in.
func FuzzProviderAnswers(f *testing.F) {
	const (
		configuration = `{"issuer":"https://provider.example","authorization_endpoint":"https://provider.example/auth",
			"token_endpoint":"https://provider.example/token","jwks_uri":"https://provider.example/keys",
			"id_token_signing_alg_values_supported":["RS256","none","HS256"]}`
		key = `{"keys":[{"kty":"RSA","alg":"RS256","use":"sig","kid":"1","n":"AQAB","e":"AQAB"}]}`
	)
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	claims := part(`{"iss":"https://provider.example","aud":"midge","sub":"1","nonce":"n","exp":99999999999,"preferred_username":"ann"}`)
	for _, head := range []string{`{"alg":"none"}`, `{"alg":"HS256","kid":"1"}`, `{"alg":"RS256","kid":"1"}`, `{}`} {
		token := `{"access_token":"x","token_type":"bearer","id_token":"` + part(head) + "." + claims + "." + part("signature") + `"}`
		f.Add([]byte(configuration), []byte(token), []byte(key))
	}
	f.Add([]byte(`{}`), []byte(`{}`), []byte(`{}`))
	f.Add([]byte(configuration), []byte(`{"access_token":"x","id_token":1}`), []byte(`{"keys":[{}]}`))
	f.Fuzz(func(t *testing.T, configuration, token, keys []byte) {
		p := newIdentityProvider(OIDC{Issuer: "https://provider.example", ClientID: "midge", UserNameKey: "preferred_username"})
		p.client.Transport = provider{configuration, token, keys}
		user, err := p.user(t.Context(), "https://midge.example"+callbackPath, "code", pendingLogin{State: "s", Nonce: "n", Verifier: "v"})
		if err == nil {
			t.Errorf("%s logs %q in", token, user.name)
		}
	})
}
