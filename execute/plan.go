package execute

import "midge/api"

// stepName is what fly calls the task of a one-off build, and what hijack looks for.
const stepName = "one-off"

// plan makes the plan of a one-off build, of the form that fly makes: fetch the
// artifacts, run the task, and keep its outputs whatever became of it. artifacts has
// the id of each selected input.
//
// A midge keeps all outputs, so that a later build may have them as inputs, and gives the
// task a terminal only if that is asked for.
func (e *Execution) plan(info api.Info, artifacts map[string]int) api.Plan {
	fetch := api.Plan{InParallel: &api.InParallelPlan{}}
	for _, input := range e.selected.inputs {
		step := api.Plan{ArtifactInput: &api.ArtifactInputPlan{ArtifactID: artifacts[input.name], Name: input.name}}
		if input.job != nil {
			step = getPlan(input.job)
		}
		fetch.InParallel.Steps = append(fetch.InParallel.Steps, step)
	}
	var outputs []string
	for _, output := range e.selected.outputs {
		outputs = append(outputs, output.Name)
	}
	run := api.Plan{Task: &api.TaskPlan{
		Name:         stepName,
		Privileged:   e.request.Privileged,
		Hermetic:     e.request.Hermetic,
		Tags:         e.request.Tags,
		Config:       &e.config,
		InputMapping: e.selected.mapping,

		ImageArtifactName: e.image,
	}}
	if info.Midge != nil {
		outputs = outputNames(e.config)
		run.Task.TTY, run.Task.Hold = &e.request.TTY, e.request.Hold
	}
	plan := api.Plan{Do: []api.Plan{fetch, run}}
	if len(outputs) > 0 {
		keep := api.Plan{InParallel: &api.InParallelPlan{}}
		for _, output := range outputs {
			keep.InParallel.Steps = append(keep.InParallel.Steps, api.Plan{
				ArtifactOutput: &api.ArtifactOutputPlan{Name: output},
			})
		}
		plan = api.Plan{Ensure: &api.EnsurePlan{Step: plan, Next: keep}}
	}
	plan.AssignIDs()
	e.request.job.addImages(&plan)
	return plan
}
