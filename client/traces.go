package client

import (
	"context"
	"encoding/json"
	"net/http"

	"midge/api"
)

// Trace gives the spans of a trace that the user may see, as OTLP in JSON.
func (c *Client) Trace(ctx context.Context, id string) ([]byte, error) {
	var spans json.RawMessage
	err := c.call(ctx, request{method: http.MethodGet, path: apiPath("traces", id), about: "trace " + id}, &spans)
	return spans, err
}

// BuildUsage gives what a build has used until now.
func (c *Client) BuildUsage(ctx context.Context, id int) (api.BuildUsage, error) {
	var used api.BuildUsage
	err := c.call(ctx, buildRequest(http.MethodGet, id, "usage"), &used)
	return used, err
}
