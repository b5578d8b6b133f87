package client

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"time"

	"midge/api"
)

// Every fly shows itself to the token endpoint with these; they are public.
const (
	oauthClientID     = "fly"
	oauthClientSecret = "Zmx5"
	oauthScopes       = "openid profile email federated:id groups"
)

// Token is a bearer token as the server gave it out.
type Token struct {
	Value string
	// Expires is when it ends; zero when the server did not say.
	Expires time.Time
}

// Login trades a user name and password for a token. It gives a LoginError when they are wrong.
func (c *Client) Login(ctx context.Context, user, password string) (Token, error) {
	form := url.Values{
		"grant_type": {"password"},
		"username":   {user},
		"password":   {password},
		"scope":      {oauthScopes},
	}
	r := request{
		method: http.MethodPost,
		path:   "/sky/issuer/token",
		header: http.Header{
			"Content-Type":  {"application/x-www-form-urlencoded"},
			"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(oauthClientID+":"+oauthClientSecret))},
		},
		body: []byte(form.Encode()),
	}
	var answer struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
	}
	if err := c.call(ctx, r, &answer); err != nil {
		return Token{}, c.loginError(err)
	}
	if answer.AccessToken == "" {
		return Token{}, c.strange("it gave no token")
	}
	token := Token{Value: answer.AccessToken}
	if answer.ExpiresIn > 0 {
		token.Expires = time.Now().Add(time.Duration(answer.ExpiresIn) * time.Second)
	}
	return token, nil
}

// loginError tells wrong credentials from other failures. Servers answer with any of
// three statuses.
func (c *Client) loginError(err error) error {
	var (
		unauthorized *UnauthorizedError
		forbidden    *ForbiddenError
		refused      *ServerError
	)
	switch {
	case errors.As(err, &unauthorized), errors.As(err, &forbidden):
	case errors.As(err, &refused) && refused.Status == http.StatusBadRequest:
	default:
		return err
	}
	return &LoginError{URL: c.URL(), Message: "one of them is wrong"}
}

// Logout has a midge server end the client's token. A Concourse does not know how to,
// and lets it expire.
func (c *Client) Logout(ctx context.Context) error {
	return c.call(ctx, request{method: http.MethodGet, path: "/sky/logout"}, nil)
}

// User asks who the client's token belongs to.
func (c *Client) User(ctx context.Context) (api.User, error) {
	var user api.User
	err := c.call(ctx, request{method: http.MethodGet, path: apiPath("user")}, &user)
	return user, err
}

// Teams lists the teams that the user may see.
func (c *Client) Teams(ctx context.Context) ([]api.Team, error) {
	var teams []api.Team
	err := c.call(ctx, request{method: http.MethodGet, path: apiPath("teams")}, &teams)
	return teams, err
}
