package client

import (
	"context"
	"errors"
	"net/http"

	"midge/api"
)

// Status asks the server how it is. It reports false of one that does not tell, as a
// Concourse does not.
func (c *Client) Status(ctx context.Context) (api.Status, bool, error) {
	var status api.Status
	err := c.call(ctx, request{method: http.MethodGet, path: apiPath("status"), about: "status of the server"}, &status)
	if missing := (*NotFoundError)(nil); errors.As(err, &missing) {
		return api.Status{}, false, nil
	}
	return status, err == nil, err
}
