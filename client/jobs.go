package client

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"midge/api"
)

// Only a Concourse has pipelines and jobs. A midge answers all of this with a
// NotFoundError.

// JobInputs gives what the next build of a job would have as its inputs.
func (c *Client) JobInputs(ctx context.Context, pipeline, job string) ([]api.JobInput, error) {
	var inputs []api.JobInput
	err := c.call(ctx, request{
		method: http.MethodGet,
		path:   c.teamPath("pipelines", pipeline, "jobs", job, "inputs"),
		about:  fmt.Sprintf("job %q whose next build has all its inputs", pipeline+"/"+job),
	}, &inputs)
	return inputs, err
}

// ResourceTypes gives the types of resources that a pipeline brings.
func (c *Client) ResourceTypes(ctx context.Context, pipeline string) ([]api.ResourceType, error) {
	var types []api.ResourceType
	r := c.pipelineRequest(pipeline, "resource-types")
	err := c.call(ctx, r, &types)
	return types, err
}

// CreatePipelineBuild starts a one-off build that belongs to a pipeline, whose
// credentials it may use.
func (c *Client) CreatePipelineBuild(ctx context.Context, pipeline string, plan api.Plan) (api.Build, error) {
	r := c.pipelineRequest(pipeline, "builds")
	r.method = http.MethodPost
	return c.createBuild(ctx, r, plan, "")
}

// JobBuild gives a build of a job by its name, or with "" the newest.
func (c *Client) JobBuild(ctx context.Context, pipeline, job, name string) (api.Build, error) {
	if name == "" {
		builds, err := c.Builds(ctx, BuildFilter{Team: c.options.Team, Pipeline: pipeline, Job: job, Limit: 1})
		if err == nil && len(builds) == 0 {
			err = fmt.Errorf("job %q has no builds yet", pipeline+"/"+job)
		}
		if err != nil {
			return api.Build{}, err
		}
		return builds[0], nil
	}
	var build api.Build
	err := c.call(ctx, request{
		method: http.MethodGet,
		path:   c.teamPath("pipelines", pipeline, "jobs", job, "builds", name),
		about:  fmt.Sprintf("build %q of job %q", name, pipeline+"/"+job),
	}, &build)
	return build, err
}

// pipelineRequest reads what is below a pipeline of the client's team.
func (c *Client) pipelineRequest(pipeline string, below ...any) request {
	return request{
		method: http.MethodGet,
		path:   c.teamPath(append([]any{"pipelines", pipeline}, below...)...),
		about:  "pipeline " + strconv.Quote(pipeline),
	}
}
