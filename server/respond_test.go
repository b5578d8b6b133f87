package server

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
)

// A request that was given up is not done: who has ended what it sends and still reads is
// not told that it is.
func TestRequestThatWasGivenUpIsNoSuccess(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	answer := httptest.NewRecorder()
	new(Server).fail(answer, httptest.NewRequestWithContext(ctx, "POST", "/", nil), ctx.Err())
	if answer.Code != http.StatusBadRequest {
		t.Errorf("it is answered with %d", answer.Code)
	}
}
