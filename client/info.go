package client

import (
	"context"
	"errors"
	"net/http"

	"midge/api"
)

// Info asks the server what it is. It needs no token, and gives a StrangeAnswerError
// when the server is neither a midge nor a Concourse.
func (c *Client) Info(ctx context.Context) (api.Info, error) {
	var info api.Info
	err := c.call(ctx, request{method: http.MethodGet, path: apiPath("info"), about: "API"}, &info)
	var missing *NotFoundError
	if errors.As(err, &missing) {
		return api.Info{}, c.strange("it has no /api/v1/info")
	}
	if err == nil && info.Version == "" {
		return api.Info{}, c.strange("it does not tell its version")
	}
	return info, err
}
