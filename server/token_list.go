package server

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"midge/api"
	"midge/server/state"
)

const (
	// maxTokenRequest bounds the request for a token, in bytes of its JSON.
	maxTokenRequest = 4 << 10
	// maxTokenName bounds the name of a token, in bytes.
	maxTokenName = 200
	// scriptToken is how long a token lasts that was asked for without saying so.
	scriptToken = 90 * 24 * time.Hour
	// maxToken is the longest that a token may last.
	maxToken = 2 * 366 * 24 * time.Hour
)

// listTokens gives the requester's tokens, or those of a user whom an administrator names.
func (s *Server) listTokens(w http.ResponseWriter, r *http.Request) {
	who := requester(r)
	user := who.user()
	if named := r.URL.Query().Get("user"); named != "" && named != user {
		if !who.admin {
			fail(w, http.StatusForbidden, "only an owner of the team %s may see the tokens of others", mainTeam)
			return
		}
		user = named
	}
	tokens, err := s.database.Tokens(r.Context(), user)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	shown := []api.Token{}
	for _, token := range tokens {
		shown = append(shown, apiToken(token, who))
	}
	answer(w, http.StatusOK, shown)
}

func apiToken(token state.Token, who *identity) api.Token {
	shown := api.Token{
		ID:        token.ID,
		Name:      token.Name,
		User:      token.User,
		CreatedAt: token.CreatedAt.Unix(),
		ExpiresAt: token.ExpiresAt.Unix(),
		Current:   token.ID == who.tokenID,
	}
	if !token.UsedAt.IsZero() {
		shown.UsedAt = token.UsedAt.Unix()
	}
	return shown
}

// createToken makes a token, for scripts that cannot log in.
func (s *Server) createToken(w http.ResponseWriter, r *http.Request) {
	var wanted api.NewToken
	if !readJSON(w, r, maxTokenRequest, "the request", &wanted) {
		return
	}
	lasts := time.Duration(wanted.LastsSeconds) * time.Second
	if wanted.LastsSeconds == 0 {
		lasts = scriptToken
	}
	switch {
	case wanted.Name == "" || len(wanted.Name) > maxTokenName || strings.ContainsFunc(wanted.Name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		fail(w, http.StatusBadRequest, "a token needs a name, by which to know it in a list: 1 to %d characters, none of them a control character", maxTokenName)
		return
	case wanted.LastsSeconds < 0 || wanted.LastsSeconds > int64(maxToken/time.Second):
		fail(w, http.StatusBadRequest, "a token lasts from a second to %d days", maxToken/(24*time.Hour))
		return
	}
	owner := s.ownerOfToken(w, r, wanted.User)
	if owner == nil {
		return
	}
	text, token, err := s.tokens.create(r.Context(), owner.user(), owner.groups, wanted.Name, lasts)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	shown := apiToken(token, requester(r))
	shown.Token = text
	answer(w, http.StatusCreated, shown)
}

// ownerOfToken gives the user whom a new token is for, the requester if none is
// named, or else answers the request.
func (s *Server) ownerOfToken(w http.ResponseWriter, r *http.Request, named string) *identity {
	who := requester(r)
	if named == "" || named == who.user() {
		if who.connector == connectorUnix {
			fail(w, http.StatusBadRequest, "whoever comes by the socket needs no token: say for which user it is to be")
			return nil
		}
		return who
	}
	if !who.admin {
		fail(w, http.StatusForbidden, "only an owner of the team %s may make tokens for others", mainTeam)
		return nil
	}
	other := s.identify(named, nil)
	// Of users of a provider only the provider knows which there are.
	if other == nil || other.connector != connectorLocal {
		fail(w, http.StatusBadRequest, "there is no local user %q", named)
		return nil
	}
	return other
}

// deleteToken ends a token of the requester's, or any at an administrator's wish.
func (s *Server) deleteToken(w http.ResponseWriter, r *http.Request) {
	text := r.PathValue("token")
	id, err := strconv.Atoi(text)
	if err != nil {
		notFound(w, "token %q", text)
		return
	}
	token, err := s.database.Token(r.Context(), id)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if who := requester(r); token.User != who.user() && !who.admin {
		notFound(w, "token %d", id)
		return
	}
	if err := s.tokens.delete(r.Context(), id); err != nil {
		s.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
