package server

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"log/slog"
	"sync"
	"time"

	"midge/server/state"
)

// tokenStore makes and knows bearer tokens.
type tokenStore struct {
	database *state.Database
	log      *slog.Logger
	// identify gives the roles of a user, or nil when there is no such user any more.
	identify func(user string, groups []string) *identity

	mu sync.Mutex
	// used is when the use of a token was last written down, by its id.
	used map[int]time.Time
	// inUse are the requests that end when their token does, by its id.
	inUse map[int]*tokenUse
}

func newTokenStore(database *state.Database, log *slog.Logger, identify func(user string, groups []string) *identity) *tokenStore {
	return &tokenStore{database: database, log: log, identify: identify, used: map[int]time.Time{}, inUse: map[int]*tokenUse{}}
}

// useInterval is how exactly the last use of a token is known. To write down each
// use would make every request wait for the disk.
const useInterval = time.Minute

// newToken makes the text of a token: 160 random bits and when it expires, laid out
// so that fly's targets command can tell the expiry.
func newToken(expires time.Time) string {
	var b [28]byte
	_, _ = rand.Read(b[:20]) // never fails
	binary.LittleEndian.PutUint64(b[20:], uint64(expires.Unix()))
	return base64.RawStdEncoding.EncodeToString(b[:])
}

// hashToken is what is stored of a token.
func hashToken(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// create makes a token for a user of those groups that lasts that long.
func (t *tokenStore) create(ctx context.Context, user string, groups []string, name string, lasts time.Duration) (string, state.Token, error) {
	now := time.Now()
	expires := now.Add(lasts)
	text := newToken(expires)
	token, err := t.database.CreateToken(ctx, state.Token{
		Hash: hashToken(text), User: user, Groups: groups, Name: name, CreatedAt: now, ExpiresAt: expires,
	})
	return text, token, err
}

// identity tells whose token that is; nil when it is nobody's or has expired.
func (t *tokenStore) identity(ctx context.Context, text string) (*identity, error) {
	token, err := t.database.TokenByHash(ctx, hashToken(text))
	if missing := (*state.NotFoundError)(nil); errors.As(err, &missing) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if !now.Before(token.ExpiresAt) {
		return nil, nil
	}
	who := t.identify(token.User, token.Groups)
	if who == nil {
		return nil, nil
	}
	who.tokenID = token.ID
	t.noteUse(ctx, token, now)
	return who, nil
}

// noteUse writes down that a token was used, now and then. A disk that cannot take
// it is no reason to turn the user away.
func (t *tokenStore) noteUse(ctx context.Context, token state.Token, now time.Time) {
	t.mu.Lock()
	last, known := t.used[token.ID]
	if !known {
		last = token.UsedAt
	}
	due := now.Sub(last) >= useInterval
	if due {
		t.used[token.ID] = now
	}
	t.mu.Unlock()
	if !due {
		return
	}
	if err := t.database.UseToken(ctx, token.ID, now); err != nil && ctx.Err() == nil {
		t.log.WarnContext(ctx, "the use of a token was not noted", "error", err)
	}
}

// delete ends a token, and what goes on with it.
func (t *tokenStore) delete(ctx context.Context, id int) error {
	if err := t.database.DeleteToken(ctx, id); err != nil {
		return err
	}
	t.mu.Lock()
	delete(t.used, id)
	t.mu.Unlock()
	t.endUse(id)
	return nil
}

// forgetExpired removes the tokens that can no longer be used.
func (t *tokenStore) forgetExpired(ctx context.Context) error {
	now := time.Now()
	if err := t.database.DeleteExpiredTokens(ctx, now); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, used := range t.used {
		if now.Sub(used) > useInterval {
			delete(t.used, id)
		}
	}
	return nil
}
