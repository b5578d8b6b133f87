package client

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// ArtifactsURL is where the artifacts of the client's team are, as Exchange takes it.
// The artifacts of two servers may have the same: ArtifactsName tells them apart.
func (c *Client) ArtifactsURL() string { return c.base.String() + c.teamPath("artifacts") }

// ArtifactsName names the artifacts of the client's team among those of all servers.
func (c *Client) ArtifactsName() string { return c.URL() + c.teamPath("artifacts") }

// Exchange sends a request to a URL that begins with ArtifactsURL, which must do no
// harm when it is sent twice, and gives the answer. A body must come with GetBody. It waits for a server that is away
// as the other methods do. Who is asking, and answers that say that the server is busy,
// the caller need not look after: they are errors of this package when nothing helps.
// All other statuses are the caller's to look at. The caller closes the body.
func (c *Client) Exchange(sent *http.Request) (*http.Response, error) {
	r := request{
		method: sent.Method,
		path:   strings.TrimPrefix(sent.URL.EscapedPath(), c.base.EscapedPath()),
		query:  sent.URL.Query(),
		header: sent.Header,
		again:  true,
	}
	var response *http.Response
	err := c.persist(sent.Context(), r, func(ctx context.Context) error {
		if sent.GetBody != nil {
			body, err := sent.GetBody()
			if err != nil {
				return fmt.Errorf("read the body of a request again: %w", err)
			}
			r.stream, r.length = body, sent.ContentLength
		}
		var err error
		if response, err = c.attempt(ctx, r); err != nil {
			return err
		}
		if forAnyRequest(response.StatusCode) {
			defer response.Body.Close()
			return c.statusError(r, response)
		}
		return nil
	})
	return response, err
}

// forAnyRequest reports whether a status says nothing about the request in particular.
func forAnyRequest(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return status >= 300 && status < 400
}
