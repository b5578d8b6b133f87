package state

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Token is a bearer token, stored by its hash alone.
type Token struct {
	ID        int
	Hash      []byte
	User      string
	Groups    []string // that the user was in when it was made
	Name      string
	CreatedAt time.Time
	ExpiresAt time.Time
	UsedAt    time.Time // zero: never
}

const selectToken = `SELECT id, hash, user, groups, name, created_at, expires_at, used_at FROM tokens `

// CreateToken writes the token and gives it with its new id. A hash that is there
// already is an error.
func (db *Database) CreateToken(ctx context.Context, token Token) (Token, error) {
	groups, err := json.Marshal(token.Groups)
	if err != nil {
		return Token{}, fmt.Errorf("create token of %s: %w", token.User, err)
	}
	err = db.writer.QueryRowContext(ctx, `INSERT INTO tokens (hash, user, groups, name, created_at, expires_at, used_at)
		VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id`, token.Hash, token.User, string(groups), token.Name,
		nanoseconds(token.CreatedAt), nanoseconds(token.ExpiresAt), nanoseconds(token.UsedAt)).Scan(&token.ID)
	if err != nil {
		return Token{}, fmt.Errorf("create token of %s: %w", token.User, err)
	}
	return token, nil
}

// TokenByHash gives the token of that hash, expired or not, or a *NotFoundError.
func (db *Database) TokenByHash(ctx context.Context, hash []byte) (Token, error) {
	token, err := scanToken(db.reader.QueryRowContext(ctx, selectToken+`WHERE hash = ?`, hash))
	if err != nil {
		return Token{}, fmt.Errorf("read token: %w", notFound(err, "token", "of that hash"))
	}
	return token, nil
}

// Token gives the token of that id, expired or not, or a *NotFoundError.
func (db *Database) Token(ctx context.Context, id int) (Token, error) {
	token, err := scanToken(db.reader.QueryRowContext(ctx, selectToken+`WHERE id = ?`, id))
	if err != nil {
		return Token{}, fmt.Errorf("read token %d: %w", id, notFound(err, "token", id))
	}
	return token, nil
}

// Tokens gives the tokens of a user, oldest first.
func (db *Database) Tokens(ctx context.Context, user string) ([]Token, error) {
	tokens, err := list(ctx, db, scanToken, selectToken+`WHERE user = ? ORDER BY id`, user)
	if err != nil {
		return nil, fmt.Errorf("read tokens of %s: %w", user, err)
	}
	return tokens, nil
}

// UseToken notes when a token was last used.
func (db *Database) UseToken(ctx context.Context, id int, at time.Time) error {
	if _, err := db.change(ctx, `UPDATE tokens SET used_at = ? WHERE id = ?`, nanoseconds(at), id); err != nil {
		return fmt.Errorf("note the use of token %d: %w", id, err)
	}
	return nil
}

// DeleteToken removes a token; one that is not there is no error.
func (db *Database) DeleteToken(ctx context.Context, id int) error {
	if _, err := db.change(ctx, `DELETE FROM tokens WHERE id = ?`, id); err != nil {
		return fmt.Errorf("delete token %d: %w", id, err)
	}
	return nil
}

// DeleteExpiredTokens removes the tokens that expired before that time.
func (db *Database) DeleteExpiredTokens(ctx context.Context, before time.Time) error {
	if _, err := db.change(ctx, `DELETE FROM tokens WHERE expires_at < ?`, nanoseconds(before)); err != nil {
		return fmt.Errorf("delete expired tokens: %w", err)
	}
	return nil
}

func scanToken(r row) (Token, error) {
	var t Token
	var created, expires, used int64
	var groups []byte
	if err := r.Scan(&t.ID, &t.Hash, &t.User, &groups, &t.Name, &created, &expires, &used); err != nil {
		return Token{}, err
	}
	err := json.Unmarshal(groups, &t.Groups)
	t.CreatedAt, t.ExpiresAt, t.UsedAt = fromNanoseconds(created), fromNanoseconds(expires), fromNanoseconds(used)
	return t, err
}
