package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"midge/api"
)

// HijackEndpoint gives where sessions in a container of the client's team begin: the
// URL, the HTTP client that reaches it, and the header that says who asks.
func (c *Client) HijackEndpoint(handle string) (url string, client *http.Client, header http.Header) {
	header = make(http.Header)
	if c.options.Token != "" {
		header.Set("Authorization", "Bearer "+c.options.Token)
	}
	return c.base.String() + c.teamPath("containers", handle, "hijack"), c.http, header
}

// HijackSessions lists the sessions in containers of the client's team. Only a midge has them.
func (c *Client) HijackSessions(ctx context.Context) ([]api.HijackSession, error) {
	var sessions []api.HijackSession
	err := c.call(ctx, request{method: http.MethodGet, path: c.teamPath("sessions")}, &sessions)
	return sessions, err
}

// Hold keeps the containers of a build for that long from now, and gives them. Those
// that are kept for longer already stay so. Only a midge does.
func (c *Client) Hold(ctx context.Context, build int, duration time.Duration) ([]api.Container, error) {
	var containers []api.Container
	err := c.call(ctx, request{
		method: http.MethodPut,
		path:   apiPath("builds", build, "hold"),
		query:  url.Values{"for": {duration.String()}},
		about:  fmt.Sprintf("build %d", build),
	}, &containers)
	return containers, err
}

// Release lets the containers of a build go, and gives them. Only a midge does.
func (c *Client) Release(ctx context.Context, build int) ([]api.Container, error) {
	var containers []api.Container
	err := c.call(ctx, request{
		method: http.MethodDelete,
		path:   apiPath("builds", build, "hold"),
		about:  fmt.Sprintf("build %d", build),
	}, &containers)
	return containers, err
}
