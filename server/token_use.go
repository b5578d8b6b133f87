package server

import (
	"context"
	"errors"
	"net/http"

	"midge/server/state"
)

// tokenUse is that of a token by requests that go on until somebody ends them.
type tokenUse struct {
	requests int
	ended    context.Context // done once the token is
	end      context.CancelFunc
}

// during gives a context that ends with ctx or when the token of that id is deleted,
// and a function to be called when it is no longer of use.
func (t *tokenStore) during(ctx context.Context, id int) (context.Context, context.CancelFunc) {
	t.mu.Lock()
	use := t.inUse[id]
	if use == nil {
		use = &tokenUse{}
		use.ended, use.end = context.WithCancel(context.Background())
		t.inUse[id] = use
	}
	use.requests++
	t.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(use.ended, cancel)
	return ctx, func() {
		stop()
		cancel()
		t.mu.Lock()
		defer t.mu.Unlock()
		if use.requests--; use.requests == 0 && t.inUse[id] == use {
			use.end()
			delete(t.inUse, id)
		}
	}
}

// endUse ends what goes on with a token that was deleted.
func (t *tokenStore) endUse(id int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if use := t.inUse[id]; use != nil {
		use.end()
		delete(t.inUse, id)
	}
}

// whileTokenLasts ends a request of somebody who is logged in when the token is deleted
// with which it came. One that only expires lets it go on.
func (s *Server) whileTokenLasts(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := requester(r).tokenID
		if id == 0 { // by the socket
			next(w, r)
			return
		}
		ctx, done := s.tokens.during(r.Context(), id)
		defer done()
		r = r.WithContext(ctx)
		// It may have been deleted since it was looked up.
		_, err := s.database.Token(ctx, id)
		if missing := (*state.NotFoundError)(nil); errors.As(err, &missing) {
			failUnknown(w)
			return
		}
		if err != nil {
			s.fail(w, r, err)
			return
		}
		next(w, r)
	}
}
