package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"midge/api"
)

// Tokens lists the tokens of the user, or as an administrator those of another user.
func (c *Client) Tokens(ctx context.Context, user string) ([]api.Token, error) {
	r := request{method: http.MethodGet, path: apiPath("tokens")}
	if user != "" {
		r.query = url.Values{"user": {user}}
	}
	var tokens []api.Token
	err := c.call(ctx, r, &tokens)
	return tokens, c.withoutTokens(err)
}

// CreateToken makes a token. Nobody can ask for its text again.
func (c *Client) CreateToken(ctx context.Context, wanted api.NewToken) (api.Token, error) {
	body, header, err := jsonBody(wanted)
	if err != nil {
		return api.Token{}, fmt.Errorf("encode the request for a token: %w", err)
	}
	var token api.Token
	err = c.call(ctx, request{method: http.MethodPost, path: apiPath("tokens"), header: header, body: body}, &token)
	return token, c.withoutTokens(err)
}

// RevokeToken ends a token.
func (c *Client) RevokeToken(ctx context.Context, id int) error {
	return c.call(ctx, request{method: http.MethodDelete, path: apiPath("tokens", id), about: fmt.Sprintf("token %d", id)}, nil)
}

// withoutTokens says that a server has no list of tokens, when that is what err means.
func (c *Client) withoutTokens(err error) error {
	var refused *ServerError
	if errors.As(err, &refused) && refused.Status == http.StatusNotFound {
		return fmt.Errorf("the server at %s keeps no list of tokens, as a midge server does: log in to it instead", c.URL())
	}
	return err
}
