package client

import (
	"context"
	"fmt"
	"net/http"

	"midge/api"
)

// Wall gives the message for everybody; an empty one when there is none.
func (c *Client) Wall(ctx context.Context) (api.Wall, error) {
	var wall api.Wall
	err := c.call(ctx, request{method: http.MethodGet, path: apiPath("wall")}, &wall)
	return wall, err
}

// SetWall puts up a message in place of the one there is.
func (c *Client) SetWall(ctx context.Context, wall api.Wall) error {
	body, header, err := jsonBody(wall)
	if err != nil {
		return fmt.Errorf("encode the message: %w", err)
	}
	return c.call(ctx, request{method: http.MethodPut, path: apiPath("wall"), header: header, body: body}, nil)
}

// ClearWall takes the message down.
func (c *Client) ClearWall(ctx context.Context) error {
	return c.call(ctx, request{method: http.MethodDelete, path: apiPath("wall")}, nil)
}
