package server

import (
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"midge/api"
)

// Every fly shows itself with these; they are public.
const (
	flyClientID     = "fly"
	flyClientSecret = "Zmx5"
)

// maxLoginBody bounds the form of a login, in bytes.
const maxLoginBody = 16 << 10

// tokenAnswer is what the token endpoint gives, as OAuth 2 and OpenID name it.
type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in"` // seconds
	// IDToken repeats the token: a fly of before 6.1 sends this one.
	IDToken string `json:"id_token"`
}

// login trades a user's name and password for a token.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
	r.Body = http.MaxBytesReader(w, r.Body, maxLoginBody)
	if err := r.ParseForm(); err != nil {
		failLogin(w, http.StatusBadRequest, "invalid_request", "the form did not arrive whole")
		return
	}
	id, secret, byHeader := r.BasicAuth()
	if !byHeader {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	if id != flyClientID || secret != flyClientSecret {
		failLogin(w, http.StatusUnauthorized, "invalid_client", "the client is not fly")
		return
	}
	if r.PostForm.Get("grant_type") != "password" {
		failLogin(w, http.StatusBadRequest, "unsupported_grant_type", "this server takes the grant type password alone")
		return
	}
	name, password := r.PostForm.Get("username"), r.PostForm.Get("password")
	if failed := s.tryPassword(w, r, name, password); failed != nil {
		failLogin(w, failed.status, failed.code, failed.description)
		return
	}
	token, _, err := s.tokens.create(r.Context(), connectorLocal+":"+name, nil, "login", s.config.AuthDuration)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	answer(w, http.StatusOK, tokenAnswer{
		AccessToken: token,
		TokenType:   "bearer",
		ExpiresIn:   int64(s.config.AuthDuration.Seconds()),
		IDToken:     token,
	})
}

// loginFailure says why a password does not let somebody in.
type loginFailure struct {
	status      int
	code        string // as OAuth 2 names it
	description string
}

// tryPassword gives nil when the password is the user's, or else why that address is
// not let in: the password is wrong, or too many from there were. The answer then has
// the header that goes with it.
func (s *Server) tryPassword(w http.ResponseWriter, r *http.Request, name, password string) *loginFailure {
	host := guesser(r.RemoteAddr)
	// Hashing is meant to be slow: one at a time leaves the server to others. Who sends many at
	// once waits for the first of them before it is seen how many were wrong.
	s.hashing.Lock()
	defer s.hashing.Unlock()
	if wait := s.guesses.wait(host, s.config.Now()); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		return &loginFailure{http.StatusTooManyRequests, "slow_down", "too many wrong passwords came from this address: wait before the next"}
	}
	if s.passwords.check(name, password) {
		return nil
	}
	s.guesses.wrong(host, s.config.Now())
	s.log.WarnContext(r.Context(), "wrong password", "address", host)
	return &loginFailure{http.StatusUnauthorized, "access_denied", "Invalid username or password"}
}

// failLogin answers in the form of OAuth 2.
func failLogin(w http.ResponseWriter, status int, code, description string) {
	answer(w, status, map[string]string{"error": code, "error_description": description})
}

// logout ends the token that the request carries.
func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	if id := requester(r).tokenID; id != 0 {
		if err := s.tokens.delete(r.Context(), id); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	w.WriteHeader(http.StatusOK)
}

// user tells who the requester is.
func (s *Server) user(w http.ResponseWriter, r *http.Request) {
	who := requester(r)
	teams := map[string][]string{}
	for team, role := range who.roles {
		teams[team] = []string{role.String()}
	}
	if who.connector == connectorUnix {
		teams[mainTeam] = []string{owner.String()}
	}
	answer(w, http.StatusOK, api.User{
		Sub:           who.subject(),
		Name:          who.name,
		UserID:        who.name,
		Email:         who.name,
		IsAdmin:       who.admin,
		Teams:         teams,
		Connector:     who.connector,
		DisplayUserID: who.name,
	})
}

// guessLimit bounds how many wrong passwords an address may send: at first a few at
// once, then one now and then. Right ones are not counted.
type guessLimit struct {
	mu        sync.Mutex
	addresses map[string]*rate.Limiter
}

const (
	guessesAtOnce = 10
	guessInterval = 6 * time.Second
	// maxAddresses bounds what is kept; beyond it those are forgotten that have
	// their full number of guesses again.
	maxAddresses = 10_000
)

// guesser is who guesses from the remote address of a request. Of IPv6 whoever has one
// address has all of its network.
func guesser(remote string) string {
	address, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	host := address.Addr().Unmap().WithZone("")
	if host.Is4() {
		return host.String()
	}
	network, _ := host.Prefix(64) // an IPv6 address has one
	return network.String()
}

// wait is how long the address must wait before it may send another password.
func (g *guessLimit) wait(address string, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	limiter := g.addresses[address]
	if limiter == nil {
		return 0
	}
	tokens := limiter.TokensAt(now)
	if tokens >= 1 {
		return 0
	}
	return time.Duration((1 - tokens) * float64(guessInterval))
}

// wrong counts a wrong password.
func (g *guessLimit) wrong(address string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	limiter := g.addresses[address]
	if limiter == nil {
		if len(g.addresses) >= maxAddresses {
			g.forget(now)
		}
		limiter = rate.NewLimiter(rate.Every(guessInterval), guessesAtOnce)
		g.addresses[address] = limiter
	}
	limiter.AllowN(now, 1)
}

// forget makes room. When all addresses are at it, that is more than a limit by
// address can help against.
func (g *guessLimit) forget(now time.Time) {
	for address, limiter := range g.addresses {
		if limiter.TokensAt(now) >= guessesAtOnce {
			delete(g.addresses, address)
		}
	}
	if len(g.addresses) >= maxAddresses {
		clear(g.addresses)
	}
}
