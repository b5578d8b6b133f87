package server

import (
	"errors"
	"net/http"
	"time"

	"midge/api"
	"midge/server/state"
)

// maxWall bounds the message on the wall, in bytes of its JSON.
const maxWall = 64 << 10

func (s *Server) getWall(w http.ResponseWriter, r *http.Request) {
	var shown api.Wall
	stored, err := s.database.Wall(r.Context())
	if missing := (*state.NotFoundError)(nil); err != nil && !errors.As(err, &missing) {
		s.fail(w, r, err)
		return
	}
	switch left := time.Until(stored.ExpiresAt); {
	case stored.ExpiresAt.IsZero():
		shown.Message = stored.Message
	case left > 0:
		shown = api.Wall{Message: stored.Message, TTL: left}
	}
	answer(w, http.StatusOK, shown)
}

func (s *Server) setWall(w http.ResponseWriter, r *http.Request) {
	var wanted api.Wall
	if !readJSON(w, r, maxWall, "the message", &wanted) {
		return
	}
	if wanted.Message == "" {
		fail(w, http.StatusBadRequest, "the message is empty: give one, or clear the wall")
		return
	}
	stored := state.Wall{Message: wanted.Message}
	if wanted.TTL > 0 {
		stored.ExpiresAt = time.Now().Add(wanted.TTL)
	}
	if err := s.database.SetWall(r.Context(), stored); err != nil {
		s.fail(w, r, err)
	}
}

func (s *Server) clearWall(w http.ResponseWriter, r *http.Request) {
	if err := s.database.ClearWall(r.Context()); err != nil {
		s.fail(w, r, err)
	}
}
