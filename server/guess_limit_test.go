package server

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/time/rate"
)

func TestGuessLimit(t *testing.T) {
	now := time.Unix(1000, 0)
	g := guessLimit{addresses: map[string]*rate.Limiter{}}
	for range guessesAtOnce {
		if wait := g.wait("a", now); wait != 0 {
			t.Fatalf("must wait %v before there were too many guesses", wait)
		}
		g.wrong("a", now)
	}
	if wait := g.wait("a", now); wait != guessInterval {
		t.Errorf("must wait %v, want %v", wait, guessInterval)
	}
	if wait := g.wait("b", now); wait != 0 {
		t.Errorf("another address must wait %v", wait)
	}
	now = now.Add(guessInterval)
	if wait := g.wait("a", now); wait != 0 {
		t.Errorf("must wait %v after having waited", wait)
	}
}

func TestGuessLimitIsBounded(t *testing.T) {
	now := time.Unix(1000, 0)
	g := guessLimit{addresses: map[string]*rate.Limiter{}}
	for i := range 2 * maxAddresses {
		g.wrong(fmt.Sprint(i), now)
	}
	if n := len(g.addresses); n > maxAddresses {
		t.Errorf("%d addresses are kept, want at most %d", n, maxAddresses)
	}
}

// Guesses that come at once are as many as those that come one after the other.
func TestGuessesAtOnce(t *testing.T) {
	now := func() time.Time { return time.Unix(1000, 0) }
	s := &Server{config: Config{Now: now}, log: slog.New(slog.DiscardHandler), guesses: guessLimit{addresses: map[string]*rate.Limiter{}}, passwords: newPasswords([]LocalUser{{"ann", "secret"}})}
	for range guessesAtOnce - 1 {
		s.guesses.wrong("2001:db8::/64", now())
	}
	var wrong atomic.Int64
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			request := httptest.NewRequest("POST", "/sky/issuer/token", nil)
			request.RemoteAddr = fmt.Sprintf("[2001:db8::%d]:4711", i+1)
			if s.tryPassword(httptest.NewRecorder(), request, "ann", "guess").status == http.StatusUnauthorized {
				wrong.Add(1)
			}
		})
	}
	group.Wait()
	if n := wrong.Load(); n != 1 {
		t.Errorf("%d guesses were looked at, want the last that there was", n)
	}
}

func TestGuesser(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:4711":                "192.0.2.1",
		"[::ffff:192.0.2.1]:4711":       "192.0.2.1",
		"[2001:db8:1:2:3:4:5:6]:4711":   "2001:db8:1:2::/64",
		"[fe80::1%eth0]:4711":           "fe80::/64",
		"@":                             "@",
		"2001:db8:1:2:3:4:5:6, 1.2.3.4": "2001:db8:1:2:3:4:5:6, 1.2.3.4",
	} {
		if got := guesser(remote); got != want {
			t.Errorf("%s guesses as %s, want %s", remote, got, want)
		}
	}
}

func TestLoginAfterTooManyGuesses(t *testing.T) {
	now := func() time.Time { return time.Unix(1000, 0) }
	s := &Server{config: Config{Now: now}, guesses: guessLimit{addresses: map[string]*rate.Limiter{}}, passwords: newPasswords([]LocalUser{{"ann", "secret"}})}
	for range guessesAtOnce {
		s.guesses.wrong("192.0.2.1", now())
	}
	form := url.Values{"grant_type": {"password"}, "username": {"ann"}, "password": {"secret"}, "client_id": {flyClientID}, "client_secret": {flyClientSecret}}
	request := httptest.NewRequest("POST", "/sky/issuer/token", strings.NewReader(form.Encode()))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.RemoteAddr = "192.0.2.1:4711"
	recorder := httptest.NewRecorder()
	s.login(recorder, request)
	seconds, err := strconv.Atoi(recorder.Header().Get("Retry-After"))
	if recorder.Code != http.StatusTooManyRequests || err != nil || seconds != 6 {
		t.Errorf("got status %d and Retry-After %q, want 429 and 6 seconds", recorder.Code, recorder.Header().Get("Retry-After"))
	}
}
