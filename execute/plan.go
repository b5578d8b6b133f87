package execute

import "midge/api"

// stepName is what fly calls the task of a one-off build, and what hijack looks for.
const stepName = "one-off"

// plan makes the plan of a one-off build, of the form that fly makes: fetch the
// artifacts, run the task, and keep its outputs whatever became of it. artifacts has
// the id of each selected input.
func (r Request) plan(config api.TaskConfig, selected selection, artifacts map[string]int) api.Plan {
	fetch := api.Plan{InParallel: &api.InParallelPlan{}}
	for _, input := range selected.inputs {
		fetch.InParallel.Steps = append(fetch.InParallel.Steps, api.Plan{
			ArtifactInput: &api.ArtifactInputPlan{ArtifactID: artifacts[input.name], Name: input.name},
		})
	}
	run := api.Plan{Task: &api.TaskPlan{
		Name:         stepName,
		Privileged:   r.Privileged,
		Tags:         r.Tags,
		Config:       &config,
		InputMapping: selected.mapping,
	}}
	plan := api.Plan{Do: []api.Plan{fetch, run}}
	if len(selected.outputs) > 0 {
		keep := api.Plan{InParallel: &api.InParallelPlan{}}
		for _, output := range selected.outputs {
			keep.InParallel.Steps = append(keep.InParallel.Steps, api.Plan{
				ArtifactOutput: &api.ArtifactOutputPlan{Name: output.Name},
			})
		}
		plan = api.Plan{Ensure: &api.EnsurePlan{Step: plan, Next: keep}}
	}
	plan.AssignIDs()
	return plan
}
