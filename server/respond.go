package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"midge/server/state"
)

const (
	// answerTimeout bounds how long a client may take to read a JSON answer.
	answerTimeout = time.Minute
	// bodyTimeout bounds how long a client may take to send a JSON body.
	bodyTimeout = time.Minute
)

// begin starts the time that the client has to read an answer of that type.
func begin(w http.ResponseWriter, contentType string) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout))
	w.Header().Set("Content-Type", contentType)
}

// answer sends value as JSON.
func answer(w http.ResponseWriter, status int, value any) {
	begin(w, "application/json")
	w.WriteHeader(status)
	// The only error is that of a client that has gone.
	_ = json.NewEncoder(w).Encode(value)
}

// fail answers with one sentence. fly prints it as it is.
func fail(w http.ResponseWriter, status int, format string, args ...any) {
	begin(w, "text/plain; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, format+"\n", args...)
}

// notFound answers that something is not there, or not for this user. fly decodes
// the sentence from JSON for this status alone.
func notFound(w http.ResponseWriter, format string, args ...any) {
	answer(w, http.StatusNotFound, map[string][]string{"errors": {fmt.Sprintf(format, args...) + " not found"}})
}

// fail answers with what a failed call says, and logs what is not the client's doing.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	var missing *state.NotFoundError
	switch {
	case errors.As(err, &missing):
		notFound(w, "%s %s", missing.Kind, missing.Name)
		return
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		// The client has gone. One that has only ended what it sends, which looks the same,
		// would take no answer for a success.
		fail(w, http.StatusBadRequest, "the request ended before it was answered: keep the connection open until then")
		return
	}
	s.log.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	if state.IsFull(err) {
		fail(w, http.StatusInsufficientStorage, "the server's disk is full: remove what its data dir need not keep, or give it a larger one")
		return
	}
	fail(w, http.StatusInternalServerError, "the server could not do that: %v", err)
}

// readJSON decodes a request's body of at most limit bytes, and answers the request
// itself when that fails.
func readJSON(w http.ResponseWriter, r *http.Request, limit int64, what string, value any) bool {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
		fail(w, http.StatusRequestEntityTooLarge, "%s is larger than %d MB, which is the most this server takes", what, limit/1e6)
		return false
	}
	if err != nil {
		fail(w, http.StatusBadRequest, "%s did not arrive whole: %v", what, err)
		return false
	}
	if err := json.Unmarshal(body, value); err != nil {
		fail(w, http.StatusBadRequest, "%s is not the JSON it should be: %v", what, err)
		return false
	}
	return true
}
