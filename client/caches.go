package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// CacheSelector says which caches of a task are meant.
type CacheSelector struct {
	Step string // the name of the task's step
	Path string // one cache's path; "" means all of them
	// PipelineName and JobName say whose task it is; "" means that of one-off builds, whose
	// caches only a midge keeps.
	PipelineName, JobName string
}

// ClearTaskCache has the server forget caches of a task of the client's team. It gives
// how many they were.
func (c *Client) ClearTaskCache(ctx context.Context, caches CacheSelector) (int, error) {
	r := request{
		method: http.MethodDelete,
		path:   c.teamPath("tasks", caches.Step, "cache"),
		about:  "cache of the step " + strconv.Quote(caches.Step),
	}
	if caches.JobName != "" {
		r.path = c.teamPath("pipelines", caches.PipelineName, "jobs", caches.JobName, "tasks", caches.Step, "cache")
	}
	if caches.Path != "" {
		r.query = url.Values{"cache_path": {caches.Path}}
	}
	var answer struct {
		Removed int `json:"caches_removed"`
	}
	err := c.call(ctx, r, &answer)
	return answer.Removed, err
}
