package client

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"midge/api"
)

// BuildFilter selects builds. Zero fields select all.
type BuildFilter struct {
	// Team limits them to one team's, "" to all that the user may see.
	Team string
	// Pipeline and Job limit them to those of a pipeline of Team, and of a job of it. Only
	// a Concourse has any.
	Pipeline, Job string
	// Since and Until bound the start time, in Unix seconds.
	Since, Until int64
	// Limit is how many at most, the newest; 0 leaves it to the server.
	Limit int
}

// Builds lists builds, the newest first.
func (c *Client) Builds(ctx context.Context, filter BuildFilter) ([]api.Build, error) {
	query := url.Values{}
	if filter.Limit > 0 {
		query.Set("limit", strconv.Itoa(filter.Limit))
	}
	if filter.Since > 0 {
		query.Set("from", strconv.FormatInt(filter.Since, 10))
		query.Set("timestamps", "true")
	}
	if filter.Until > 0 {
		query.Set("to", strconv.FormatInt(filter.Until, 10))
		query.Set("timestamps", "true")
	}
	r := request{method: http.MethodGet, query: query}
	r.path, r.about = filter.path()
	var builds []api.Build
	err := c.call(ctx, r, &builds)
	return builds, err
}

// path gives where the builds are, and what must be there for that.
func (f BuildFilter) path() (path, about string) {
	switch {
	case f.Team == "":
		return apiPath("builds"), ""
	case f.Pipeline == "":
		return apiPath("teams", f.Team, "builds"), "team " + strconv.Quote(f.Team)
	case f.Job == "":
		return apiPath("teams", f.Team, "pipelines", f.Pipeline, "builds"), "pipeline " + strconv.Quote(f.Pipeline)
	}
	return apiPath("teams", f.Team, "pipelines", f.Pipeline, "jobs", f.Job, "builds"), "job " + strconv.Quote(f.Pipeline+"/"+f.Job)
}

// Build gives one build.
func (c *Client) Build(ctx context.Context, id int) (api.Build, error) {
	var build api.Build
	err := c.call(ctx, buildRequest(http.MethodGet, id), &build)
	return build, err
}

// CreateBuild starts a one-off build of the client's team. A key that the team has not
// used before names the request to a server with api.FeatureRequests, so that it can be
// sent again when its answer is lost; with "" it is not.
func (c *Client) CreateBuild(ctx context.Context, plan api.Plan, key string) (api.Build, error) {
	return c.createBuild(ctx, request{
		method: http.MethodPost,
		path:   c.teamPath("builds"),
		again:  key != "",
		about:  "team " + strconv.Quote(c.options.Team),
	}, plan, key)
}

// createBuild sends r with a plan, and a key unless that is "".
func (c *Client) createBuild(ctx context.Context, r request, plan api.Plan, key string) (api.Build, error) {
	var err error
	if r.body, r.header, err = jsonBody(plan); err != nil {
		return api.Build{}, fmt.Errorf("encode the build's plan: %w", err)
	}
	if key != "" {
		r.header.Set(api.RequestKeyHeader, key)
	}
	var build api.Build
	err = c.call(ctx, r, &build)
	return build, err
}

// AbortBuild asks the server to abort a build, and does not wait for it. Of a build
// that is finished already it is no error. A second call interrupts what the build still
// does in spite of the first, as collecting its outputs.
func (c *Client) AbortBuild(ctx context.Context, id int) error {
	r := buildRequest(http.MethodPut, id, "abort")
	// Sent again because its answer was lost, it is to be no second one.
	r.header = http.Header{api.RequestKeyHeader: {rand.Text()}}
	return c.call(ctx, r, nil)
}

// BuildArtifacts lists the artifacts that a build has left.
func (c *Client) BuildArtifacts(ctx context.Context, id int) ([]api.Artifact, error) {
	var artifacts []api.Artifact
	err := c.call(ctx, buildRequest(http.MethodGet, id, "artifacts"), &artifacts)
	return artifacts, err
}

// BuildPlan gives the plan of a build, with the params of its tasks as far as the user
// may know them.
func (c *Client) BuildPlan(ctx context.Context, id int) (api.Plan, error) {
	var answer struct {
		Plan api.Plan `json:"plan"`
	}
	err := c.call(ctx, buildRequest(http.MethodGet, id, "plan"), &answer)
	return answer.Plan, err
}

// buildRequest is a request about a build, or about what is below it.
func buildRequest(method string, id int, below ...any) request {
	return request{
		method: method,
		path:   apiPath(append([]any{"builds", id}, below...)...),
		about:  fmt.Sprintf("build %d", id),
	}
}
