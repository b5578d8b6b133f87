package execute

import (
	"context"
	"maps"
	"slices"

	"midge/api"
	"midge/client"
)

// job is a job of a Concourse whose inputs a task gets.
type job struct {
	pipeline string
	inputs   map[string]*api.JobInput // by name
	types    []api.ResourceType       // that its pipeline brings
}

// FromJob prepares to execute a task with inputs of a job: what the request does not
// give is fetched by the build, at the version that the job's next build would have. The
// build belongs to the job's pipeline. Only a Concourse has jobs.
func FromJob(ctx context.Context, c *client.Client, pipeline, name string, request Request) (*Execution, error) {
	inputs, err := c.JobInputs(ctx, pipeline, name)
	if err != nil {
		return nil, err
	}
	types, err := c.ResourceTypes(ctx, pipeline)
	if err != nil {
		return nil, err
	}
	request.job = &job{pipeline: pipeline, inputs: map[string]*api.JobInput{}, types: types}
	for i := range inputs {
		request.job.inputs[inputs[i].Name] = &inputs[i]
	}
	return Prepare(request)
}

// names are those of the job's inputs, sorted.
func (j *job) names() []string { return slices.Sorted(maps.Keys(j.inputs)) }

// chooseImage has the task run in the image that the request names among the job's inputs.
func (r Request) chooseImage(config *api.TaskConfig) error {
	input, found := r.job.inputs[r.Image]
	if !found {
		return unknownName("the job has", "input", r.Image, r.job.names())
	}
	config.RootfsURI = ""
	config.ImageResource = &api.ImageResource{
		Type: input.Type, Source: input.Source, Params: input.Params, Version: input.Version,
	}
	return nil
}

// getPlan is the step that fetches an input of a job.
func getPlan(input *api.JobInput) api.Plan {
	return api.Plan{Get: &api.GetPlan{
		Name: input.Name, Type: input.Type, Source: input.Source, Params: input.Params,
		Version: input.Version, Tags: input.Tags,
	}}
}

// addImages adds to the steps of a plan, whose ids are assigned, what they need to find
// the images of the types of the job's pipeline. Without a job that is nothing.
func (j *job) addImages(plan *api.Plan) {
	if j == nil {
		return
	}
	for step := range plan.All() {
		switch {
		case step.Get != nil:
			step.Get.Image = api.NewTypeImage(step.ID, step.Get.Type, j.types, step.Get.Tags)
		case step.Task != nil:
			step.Task.ResourceTypes = j.types
		}
	}
}
