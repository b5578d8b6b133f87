package client

import (
	"context"
	"net/http"
	"strconv"

	"midge/api"
)

// Workers lists the workers that the user may see.
func (c *Client) Workers(ctx context.Context) ([]api.Worker, error) {
	var workers []api.Worker
	err := c.call(ctx, request{method: http.MethodGet, path: apiPath("workers")}, &workers)
	return workers, err
}

// LandWorker asks a worker to take no new containers and to stop when its last one has ended.
func (c *Client) LandWorker(ctx context.Context, name string) error {
	return c.call(ctx, workerRequest(name, "land"), nil)
}

// PruneWorker has the server forget a worker that is gone.
func (c *Client) PruneWorker(ctx context.Context, name string) error {
	return c.call(ctx, workerRequest(name, "prune"), nil)
}

func workerRequest(name, verb string) request {
	return request{
		method: http.MethodPut,
		path:   apiPath("workers", name, verb),
		about:  "worker " + strconv.Quote(name),
	}
}
