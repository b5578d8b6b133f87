package server

import (
	"fmt"
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
