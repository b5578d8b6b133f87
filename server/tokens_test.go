package server

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"midge/server/state"
)

func TestForgetExpired(t *testing.T) {
	database, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "midge.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer database.Close()
	tokens := newTokenStore(database, slog.New(slog.DiscardHandler),
		func(user string, groups []string) *identity { return &identity{name: user} })
	expired, _, err := tokens.create(t.Context(), "local:ann", nil, "old", -time.Second)
	if err != nil {
		t.Fatal(err)
	}
	valid, _, err := tokens.create(t.Context(), "local:ann", nil, "new", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if who, err := tokens.identity(t.Context(), expired); who != nil || err != nil {
		t.Errorf("an expired token is %v's, %v", who, err)
	}
	if err := tokens.forgetExpired(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, err := database.Tokens(t.Context(), "local:ann"); err != nil || len(left) != 1 || left[0].Name != "new" {
		t.Errorf("got %+v, %v; want the new token alone", left, err)
	}
	if who, err := tokens.identity(t.Context(), valid); who == nil || err != nil {
		t.Errorf("a valid token is nobody's (%v)", err)
	}
}
