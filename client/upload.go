package client

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"midge/api"
)

// UploadOptions says for which workers an artifact is meant.
type UploadOptions struct {
	Platform string   // "" for any
	Tags     []string // of the workers; nil for any
}

// UploadArtifact sends a compressed tar archive, which becomes an artifact of the
// client's team. An upload that broke is not repeated, since archive cannot be.
func (c *Client) UploadArtifact(ctx context.Context, archive io.Reader, options UploadOptions) (api.Artifact, error) {
	query := url.Values{}
	if options.Platform != "" {
		query.Set("platform", options.Platform)
	}
	if len(options.Tags) > 0 {
		query["tags"] = options.Tags
	}
	response, err := c.send(ctx, request{
		method: http.MethodPost,
		path:   c.teamPath("artifacts"),
		query:  query,
		header: http.Header{"Content-Type": {"application/octet-stream"}},
		stream: archive,
	})
	if err != nil {
		return api.Artifact{}, err
	}
	defer response.Body.Close()
	var artifact api.Artifact
	err = c.decode(ctx, response, &artifact)
	return artifact, err
}
