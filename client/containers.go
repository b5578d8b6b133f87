package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"midge/api"
	"midge/terminal"
)

// ContainerFilter selects containers. Zero fields select all.
type ContainerFilter struct {
	BuildID  int
	StepName string
	Type     string
	Attempt  string
	// What only a Concourse has.
	PipelineName, JobName, BuildName, ResourceName string
}

// query gives the filter as the server reads it.
func (f ContainerFilter) query() url.Values {
	query := url.Values{}
	set := func(name, value string) {
		if value != "" {
			query.Set(name, value)
		}
	}
	if f.BuildID > 0 {
		set("build_id", strconv.Itoa(f.BuildID))
	}
	set("step_name", f.StepName)
	set("type", f.Type)
	set("attempt", f.Attempt)
	set("pipeline_name", f.PipelineName)
	set("job_name", f.JobName)
	set("build_name", f.BuildName)
	set("resource_name", f.ResourceName)
	return query
}

// Containers lists the containers of the client's team.
func (c *Client) Containers(ctx context.Context, filter ContainerFilter) ([]api.Container, error) {
	var containers []api.Container
	err := c.call(ctx, request{method: http.MethodGet, path: c.teamPath("containers"), query: filter.query()}, &containers)
	return containers, err
}

// GoneContainers lists the containers of a build of the client's team that were removed;
// only a midge knows them.
func (c *Client) GoneContainers(ctx context.Context, build int) ([]api.Container, error) {
	query := ContainerFilter{BuildID: build}.query()
	query.Set("state", "gone")
	var containers []api.Container
	err := c.call(ctx, request{method: http.MethodGet, path: c.teamPath("containers"), query: query}, &containers)
	return containers, err
}

// Container gives one container of the client's team by its handle.
func (c *Client) Container(ctx context.Context, handle string) (api.Container, error) {
	var container api.Container
	err := c.call(ctx, request{
		method: http.MethodGet,
		path:   c.teamPath("containers", handle),
		about:  fmt.Sprintf("container %s", terminal.Line(handle)),
	}, &container)
	return container, err
}

// Volumes lists the volumes of the client's team.
func (c *Client) Volumes(ctx context.Context) ([]api.Volume, error) {
	var volumes []api.Volume
	err := c.call(ctx, request{method: http.MethodGet, path: c.teamPath("volumes")}, &volumes)
	return volumes, err
}
