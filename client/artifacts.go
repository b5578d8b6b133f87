package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"midge/api"
)

// Artifacts lists the artifacts of the client's team, the newest first, at most limit.
func (c *Client) Artifacts(ctx context.Context, limit int) ([]api.Artifact, error) {
	r := request{
		method: http.MethodGet,
		path:   c.teamPath("artifacts"),
		query:  url.Values{"limit": {strconv.Itoa(limit)}},
		about:  "list of artifacts",
	}
	var artifacts []api.Artifact
	err := c.call(ctx, r, &artifacts)
	return artifacts, err
}

// Artifact gives one artifact of the client's team.
func (c *Client) Artifact(ctx context.Context, id int) (api.Artifact, error) {
	var artifact api.Artifact
	r := c.artifactRequest(id)
	r.header = http.Header{"Accept": {"application/json"}}
	err := c.call(ctx, r, &artifact)
	return artifact, err
}

// DownloadArtifact gives an artifact as a tar archive, compressed by gzip or zstd;
// its first bytes tell which. The caller closes it.
func (c *Client) DownloadArtifact(ctx context.Context, id int) (io.ReadCloser, error) {
	r := c.artifactRequest(id)
	r.header = http.Header{"Accept-Encoding": {"zstd, gzip"}}
	return c.body(ctx, r)
}

// ArtifactFile gives the content of a file of an artifact, a symlink followed; only a
// midge does. The caller closes it.
func (c *Client) ArtifactFile(ctx context.Context, id int, path string) (io.ReadCloser, error) {
	r := c.artifactRequest(id)
	r.query = url.Values{"file": {path}}
	return c.body(ctx, r)
}

// body gives the answer to a request as a stream, which the caller closes.
func (c *Client) body(ctx context.Context, r request) (io.ReadCloser, error) {
	var body io.ReadCloser
	err := c.persist(ctx, r, func(ctx context.Context) error {
		response, err := c.send(ctx, r)
		if err != nil {
			return err
		}
		body = response.Body
		return nil
	})
	return body, err
}

func (c *Client) artifactRequest(id int) request {
	return request{
		method: http.MethodGet,
		path:   c.teamPath("artifacts", id),
		about:  fmt.Sprintf("artifact %d", id),
	}
}
