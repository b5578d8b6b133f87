package server

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// OIDC is an OpenID Connect provider whose users may log in, with a browser. Teams know
// them as oidc:NAME, and their groups as oidc:GROUP.
type OIDC struct {
	// Issuer is the provider's URL, below which its configuration is; "" is no provider.
	Issuer string
	// ClientID and ClientSecret are how the provider knows this server, which it must send
	// users back to at /login/callback of the server's external URL.
	ClientID, ClientSecret string
	// DisplayName is what users are shown; "" is the host of Issuer.
	DisplayName string
	// Scopes are asked for besides openid; nil is profile and email.
	Scopes []string
	// UserNameKey and GroupsKey are the claims that name a user and the user's groups; ""
	// is preferred_username, and groups.
	UserNameKey, GroupsKey string
}

// withDefaults fills in what empty fields mean.
func (o OIDC) withDefaults() (OIDC, error) {
	if o.Issuer == "" {
		if o.ClientID != "" || o.ClientSecret != "" {
			return o, errors.New("give the issuer of the OpenID Connect provider as well, with --oidc-issuer")
		}
		return o, nil
	}
	issuer, err := url.Parse(o.Issuer)
	switch {
	case err != nil || issuer.Host == "" || issuer.Scheme != "https" && issuer.Scheme != "http":
		return o, fmt.Errorf("the OpenID Connect issuer %q is no URL; one is like https://accounts.example.com", o.Issuer)
	case o.ClientID == "":
		return o, errors.New("give the id that the OpenID Connect provider knows this server by, with --oidc-client-id")
	}
	if o.DisplayName == "" {
		o.DisplayName = issuer.Host
	}
	if o.Scopes == nil {
		o.Scopes = []string{"profile", "email"}
	}
	if o.UserNameKey == "" {
		o.UserNameKey = "preferred_username"
	}
	if o.GroupsKey == "" {
		o.GroupsKey = "groups"
	}
	return o, nil
}

// identityProvider is the OpenID Connect provider. It is asked for its configuration at
// the first login, so that the server starts without it.
type identityProvider struct {
	config OIDC
	client *http.Client

	mu        sync.Mutex
	connected *oidc.Provider // nil until it has answered
}

// providerTimeout is how long the provider may take to answer one request.
const providerTimeout = 10 * time.Second

func newIdentityProvider(config OIDC) *identityProvider {
	return &identityProvider{config: config, client: &http.Client{Timeout: providerTimeout}}
}

// context gives one for requests to the provider.
func (p *identityProvider) context(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, p.client)
}

// connect gives the provider's configuration.
func (p *identityProvider) connect(ctx context.Context) (*oidc.Provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.connected != nil {
		return p.connected, nil
	}
	// Not that of a request: the keys are read with it later on.
	provider, err := oidc.NewProvider(p.context(context.WithoutCancel(ctx)), p.config.Issuer)
	if err != nil {
		return nil, err
	}
	p.connected = provider
	return provider, nil
}

// oauth gives what the exchange with the provider needs to know.
func (p *identityProvider) oauth(provider *oidc.Provider, callback string) *oauth2.Config {
	return &oauth2.Config{
		ClientID:     p.config.ClientID,
		ClientSecret: p.config.ClientSecret,
		Endpoint:     provider.Endpoint(),
		RedirectURL:  callback,
		Scopes:       append([]string{oidc.ScopeOpenID}, p.config.Scopes...),
	}
}

// providerUser is somebody whom the provider knows.
type providerUser struct {
	name   string
	groups []string
}

// user trades the code that a browser has brought from the provider for the user.
func (p *identityProvider) user(ctx context.Context, callback, code string, pending pendingLogin) (providerUser, error) {
	provider, err := p.connect(ctx)
	if err != nil {
		return providerUser{}, err
	}
	ctx = p.context(ctx)
	token, err := p.oauth(provider, callback).Exchange(ctx, code, oauth2.VerifierOption(pending.Verifier))
	if err != nil {
		return providerUser{}, err
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return providerUser{}, errors.New("its answer has no id_token")
	}
	verified, err := provider.Verifier(&oidc.Config{ClientID: p.config.ClientID}).Verify(ctx, raw)
	if err != nil {
		return providerUser{}, err
	}
	if subtle.ConstantTimeCompare([]byte(verified.Nonce), []byte(pending.Nonce)) != 1 {
		return providerUser{}, errors.New("its id_token is for another login")
	}
	var claims map[string]any
	if err := verified.Claims(&claims); err != nil {
		return providerUser{}, err
	}
	return p.config.user(claims)
}

// user reads who it is that claims are about.
func (o OIDC) user(claims map[string]any) (providerUser, error) {
	name, _ := claims[o.UserNameKey].(string)
	switch {
	case name == "":
		return providerUser{}, fmt.Errorf("it does not tell %s, by which this server knows users, but: %s",
			o.UserNameKey, strings.Join(slices.Sorted(maps.Keys(claims)), ", "))
	case len(name) > maxUserName || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return providerUser{}, fmt.Errorf("the name of the user has more than %d characters, or control characters", maxUserName)
	case o.UserNameKey == "email" && claims["email_verified"] == false:
		return providerUser{}, errors.New("it does not know whether the mail address is the user's")
	}
	user := providerUser{name: name}
	groups, _ := claims[o.GroupsKey].([]any)
	for _, group := range groups {
		if group, ok := group.(string); ok {
			user.groups = append(user.groups, group)
		}
	}
	return user, nil
}

const (
	// pendingCookie has the login that a browser is away for, at the provider.
	pendingCookie = "midge_login"
	// pendingSeconds is how long a user may take there.
	pendingSeconds = 15 * 60
	callbackPath   = "/login/callback"
)

// pendingLogin is a login while the browser is at the provider.
type pendingLogin struct {
	State    string // that the provider sends back
	Nonce    string // that the provider puts into the id_token
	Verifier string // that shows the provider who has begun
	FlyPort  string // as of loginForm
	To       string
	Show     bool // the token is to be shown
}

// providerLogin sends a browser to the provider.
func (s *Server) providerLogin(w http.ResponseWriter, r *http.Request) {
	provider, err := s.provider.connect(r.Context())
	if err != nil {
		s.failProvider(w, r, err)
		return
	}
	form := s.newLoginForm(r.URL.Query())
	pending := pendingLogin{
		State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(),
		FlyPort: form.FlyPort, To: form.To, Show: r.URL.Query().Get("show") != "",
	}
	value, err := json.Marshal(pending)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.setCookie(w, r, pendingCookie, base64.RawURLEncoding.EncodeToString(value), pendingSeconds)
	begin(w, "text/html; charset=utf-8")
	http.Redirect(w, r, s.provider.oauth(provider, s.externalURL(r)+callbackPath).AuthCodeURL(pending.State,
		oidc.Nonce(pending.Nonce), oauth2.S256ChallengeOption(pending.Verifier)), http.StatusSeeOther)
}

// providerCallback is where the provider sends the browser back to.
func (s *Server) providerCallback(w http.ResponseWriter, r *http.Request) {
	pending, ok := readPending(r)
	s.setCookie(w, r, pendingCookie, "", -1)
	if !ok {
		s.sendMessage(w, r, http.StatusBadRequest, "That is no login of yours",
			"The login was begun in another browser, or too long ago. Begin anew.")
		return
	}
	if refusal := r.FormValue("error"); refusal != "" {
		s.sendMessage(w, r, http.StatusForbidden, "You are not logged in", fmt.Sprintf("%s says: %s %s",
			s.provider.config.DisplayName, refusal, r.FormValue("error_description")))
		return
	}
	user, err := s.provider.user(r.Context(), s.externalURL(r)+callbackPath, r.FormValue("code"), pending)
	if err != nil {
		s.failProvider(w, r, err)
		return
	}
	who := s.identify(connectorOIDC+":"+user.name, user.groups)
	if len(who.roles) == 0 {
		s.sendMessage(w, r, http.StatusForbidden, "You are in no team", fmt.Sprintf(
			"You are %s here, of the groups %q, and no team has a role for that. Ask who looks after this server.", who.user(), user.groups))
		return
	}
	values := url.Values{"fly_port": {pending.FlyPort}, "to": {pending.To}}
	s.finishBrowserLogin(w, r, s.newLoginForm(values), pending.Show, who)
}

// readPending gives the login that the browser has begun, if the provider's answer is to that.
func readPending(r *http.Request) (pending pendingLogin, ok bool) {
	cookie, err := r.Cookie(pendingCookie)
	if err != nil {
		return pending, false
	}
	value, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil || json.Unmarshal(value, &pending) != nil || pending.State == "" {
		return pendingLogin{}, false
	}
	return pending, subtle.ConstantTimeCompare([]byte(pending.State), []byte(r.FormValue("state"))) == 1
}

// failProvider says that the provider does not do what it should.
func (s *Server) failProvider(w http.ResponseWriter, r *http.Request, err error) {
	s.log.WarnContext(r.Context(), "a login by the OpenID Connect provider failed", "error", err)
	s.sendMessage(w, r, http.StatusBadGateway, "You are not logged in",
		fmt.Sprintf("%s could not be asked who you are: %v", s.provider.config.DisplayName, err))
}
