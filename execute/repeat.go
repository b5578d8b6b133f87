package execute

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"

	"midge/api"
	"midge/client"
)

// Repeat prepares to execute an earlier build of Prepare or Repeat once more: its task,
// with the params and arguments that it had, and its inputs as they were. What the
// request gives goes before what the build had, and its Args come after those of the build.
func Repeat(ctx context.Context, c *client.Client, build int, request Request) (*Execution, error) {
	plan, err := c.BuildPlan(ctx, build)
	if err != nil {
		return nil, err
	}
	earlier, err := readPlan(plan)
	if err != nil {
		return nil, fmt.Errorf("build %d cannot be repeated: %w", build, err)
	}
	if request.Config == "" && len(request.Vars)+len(request.YAMLVars)+len(request.VarFiles) > 0 {
		return nil, fmt.Errorf("the variables of build %d are as they were; to change them, give its task file as well, with -c", build)
	}
	request.earlier = earlier
	request.Privileged = request.Privileged || earlier.task.Privileged
	request.Hermetic = request.Hermetic || earlier.task.Hermetic
	if request.Tags == nil {
		request.Tags = earlier.task.Tags
	}
	mapping := maps.Clone(earlier.task.InputMapping)
	if mapping == nil {
		mapping = map[string]string{}
	}
	maps.Copy(mapping, request.InputMapping)
	request.InputMapping = mapping
	return Prepare(request)
}

// earlierBuild is what a build ran.
type earlierBuild struct {
	task   api.TaskPlan
	inputs map[string]int // ids of artifacts
}

// readPlan takes a build's plan apart.
func readPlan(plan api.Plan) (*earlierBuild, error) {
	earlier := &earlierBuild{inputs: map[string]int{}}
	tasks := 0
	for step := range plan.All() {
		switch {
		case step.Task != nil:
			tasks++
			earlier.task = *step.Task
		case step.ArtifactInput != nil:
			earlier.inputs[step.ArtifactInput.Name] = step.ArtifactInput.ArtifactID
		}
	}
	if tasks != 1 || earlier.task.Config == nil {
		return nil, errors.New("it was not made by execute, which runs one task")
	}
	return earlier, nil
}

// config gives the task of the build with what the request adds.
func (b *earlierBuild) config(request Request) api.TaskConfig {
	config := *b.task.Config
	config.Run.Args = append(config.Run.Args, request.Args...)
	return config
}

// lostInput says which input of an earlier build is gone, when that is why a build was
// not created.
func (e *Execution) lostInput(ctx context.Context, c *client.Client, err error) error {
	var refused *client.ServerError
	if !errors.As(err, &refused) || refused.Status != http.StatusBadRequest {
		return err
	}
	for _, input := range e.selected.inputs {
		if input.artifact == 0 {
			continue
		}
		var missing *client.NotFoundError
		if _, lookup := c.Artifact(ctx, input.artifact); errors.As(lookup, &missing) {
			if input.name == e.image {
				return errors.New("the image of the earlier build is no longer on the server; give it with --image")
			}
			return fmt.Errorf("the input %q of the earlier build is no longer on the server; give it with -i %s=DIRECTORY", input.name, input.name)
		}
	}
	return err
}
