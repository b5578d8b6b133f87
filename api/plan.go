package api

import (
	"encoding/json"
	"iter"
)

// Plan is one step of a build and the steps below it, as POST builds takes it.
// Exactly one of the step fields is set; Kind says which.
type Plan struct {
	ID string `json:"id,omitempty"`

	Do             []Plan              `json:"do,omitzero"`
	InParallel     *InParallelPlan     `json:"in_parallel,omitempty"`
	Ensure         *EnsurePlan         `json:"ensure,omitempty"`
	OnSuccess      *OnSuccessPlan      `json:"on_success,omitempty"`
	OnFailure      *OnFailurePlan      `json:"on_failure,omitempty"`
	OnAbort        *OnAbortPlan        `json:"on_abort,omitempty"`
	OnError        *OnErrorPlan        `json:"on_error,omitempty"`
	Try            *TryPlan            `json:"try,omitempty"`
	Timeout        *TimeoutPlan        `json:"timeout,omitempty"`
	Retry          []Plan              `json:"retry,omitzero"`
	Task           *TaskPlan           `json:"task,omitempty"`
	ArtifactInput  *ArtifactInputPlan  `json:"artifact_input,omitempty"`
	ArtifactOutput *ArtifactOutputPlan `json:"artifact_output,omitempty"`

	// Get is a step that only a Concourse runs. Plans for one have it; of a plan that is
	// read it is in Unknown.
	Get *GetPlan `json:"get,omitempty"`

	// Unknown has the step fields of other kinds (get, put, set_pipeline and so
	// on), by name. A plan that has any is refused.
	Unknown map[string]json.RawMessage `json:"-"`
}

// PlanKind is a step field's name in JSON.
type PlanKind string

const (
	PlanDo             PlanKind = "do"
	PlanInParallel     PlanKind = "in_parallel"
	PlanEnsure         PlanKind = "ensure"
	PlanOnSuccess      PlanKind = "on_success"
	PlanOnFailure      PlanKind = "on_failure"
	PlanOnAbort        PlanKind = "on_abort"
	PlanOnError        PlanKind = "on_error"
	PlanTry            PlanKind = "try"
	PlanTimeout        PlanKind = "timeout"
	PlanRetry          PlanKind = "retry"
	PlanTask           PlanKind = "task"
	PlanArtifactInput  PlanKind = "artifact_input"
	PlanArtifactOutput PlanKind = "artifact_output"
)

// kinds gives the step fields that are set. A list is set when it is not nil.
func (p *Plan) kinds() []PlanKind {
	var kinds []PlanKind
	add := func(kind PlanKind, set bool) {
		if set {
			kinds = append(kinds, kind)
		}
	}
	add(PlanDo, p.Do != nil)
	add(PlanInParallel, p.InParallel != nil)
	add(PlanEnsure, p.Ensure != nil)
	add(PlanOnSuccess, p.OnSuccess != nil)
	add(PlanOnFailure, p.OnFailure != nil)
	add(PlanOnAbort, p.OnAbort != nil)
	add(PlanOnError, p.OnError != nil)
	add(PlanTry, p.Try != nil)
	add(PlanTimeout, p.Timeout != nil)
	add(PlanRetry, p.Retry != nil)
	add(PlanTask, p.Task != nil)
	add(PlanArtifactInput, p.ArtifactInput != nil)
	add(PlanArtifactOutput, p.ArtifactOutput != nil)
	return kinds
}

// Kind gives the kind of a plan that Validate accepts.
func (p *Plan) Kind() PlanKind {
	kinds := p.kinds()
	if len(kinds) == 0 {
		return ""
	}
	return kinds[0]
}

// Children gives the plans directly below, in the order in which they run.
func (p *Plan) Children() []*Plan {
	var children []*Plan
	addAll := func(plans []Plan) {
		for i := range plans {
			children = append(children, &plans[i])
		}
	}
	addAll(p.Do)
	if p.InParallel != nil {
		addAll(p.InParallel.Steps)
	}
	addAll(p.Retry)
	switch {
	case p.Ensure != nil:
		children = append(children, &p.Ensure.Step, &p.Ensure.Next)
	case p.OnSuccess != nil:
		children = append(children, &p.OnSuccess.Step, &p.OnSuccess.Next)
	case p.OnFailure != nil:
		children = append(children, &p.OnFailure.Step, &p.OnFailure.Next)
	case p.OnAbort != nil:
		children = append(children, &p.OnAbort.Step, &p.OnAbort.Next)
	case p.OnError != nil:
		children = append(children, &p.OnError.Step, &p.OnError.Next)
	case p.Try != nil:
		children = append(children, &p.Try.Step)
	case p.Timeout != nil:
		children = append(children, &p.Timeout.Step)
	}
	return children
}

// All gives the plan and every plan below it, each before those below it.
func (p *Plan) All() iter.Seq[*Plan] {
	return func(yield func(*Plan) bool) { p.walk(yield) }
}

func (p *Plan) walk(yield func(*Plan) bool) bool {
	if !yield(p) {
		return false
	}
	for _, child := range p.Children() {
		if !child.walk(yield) {
			return false
		}
	}
	return true
}

// InParallelPlan runs its steps at once, at most Limit at a time (0: all).
// With FailFast the first failure interrupts the others.
type InParallelPlan struct {
	Steps    []Plan `json:"steps"`
	Limit    int    `json:"limit,omitempty"`
	FailFast bool   `json:"fail_fast,omitempty"`
}

// EnsurePlan runs Next after Step, whatever became of Step.
type EnsurePlan struct {
	Step Plan `json:"step"`
	Next Plan `json:"ensure"`
}

// OnSuccessPlan runs Next when Step succeeded.
type OnSuccessPlan struct {
	Step Plan `json:"step"`
	Next Plan `json:"on_success"`
}

// OnFailurePlan runs Next when Step failed.
type OnFailurePlan struct {
	Step Plan `json:"step"`
	Next Plan `json:"on_failure"`
}

// OnAbortPlan runs Next when Step was aborted.
type OnAbortPlan struct {
	Step Plan `json:"step"`
	Next Plan `json:"on_abort"`
}

// OnErrorPlan runs Next when Step errored.
type OnErrorPlan struct {
	Step Plan `json:"step"`
	Next Plan `json:"on_error"`
}

// TryPlan runs Step and succeeds whether or not Step does.
type TryPlan struct {
	Step Plan `json:"step"`
}

// TimeoutPlan interrupts Step after Duration (as time.ParseDuration reads it) and fails.
type TimeoutPlan struct {
	Step     Plan   `json:"step"`
	Duration string `json:"duration"`
}

// TaskPlan runs a task's command in a container.
type TaskPlan struct {
	Name          string            `json:"name"`
	Privileged    bool              `json:"privileged"`
	Hermetic      bool              `json:"hermetic"`
	Tags          []string          `json:"tags,omitempty"`
	Config        *TaskConfig       `json:"config,omitempty"`
	Vars          map[string]any    `json:"vars,omitempty"`
	Limits        *ContainerLimits  `json:"container_limits,omitempty"`
	Params        map[string]string `json:"params,omitempty"`
	InputMapping  map[string]string `json:"input_mapping,omitempty"`
	OutputMapping map[string]string `json:"output_mapping,omitempty"`
	// ImageArtifactName names the artifact of this build to use as the image.
	ImageArtifactName string `json:"image,omitempty"`
	// ResourceTypes are those that a Concourse needs for the task's image.
	ResourceTypes []ResourceType `json:"resource_types,omitempty"`

	// TTY asks for a terminal (true) or separate stdout and stderr (false).
	// Absent, as in fly's plans, it means a terminal. Only midge knows it.
	TTY *bool `json:"tty,omitempty"`

	// Hold is how long the container is kept when the task does not succeed, like 2h;
	// 0 does not keep it, and "" leaves that to the server. Only midge knows it.
	Hold string `json:"hold,omitempty"`
}

// ArtifactInputPlan makes an uploaded artifact known in the build under Name.
type ArtifactInputPlan struct {
	ArtifactID int    `json:"artifact_id"`
	Name       string `json:"name"`
}

// ArtifactOutputPlan keeps the build's artifact of that name after the build.
type ArtifactOutputPlan struct {
	Name string `json:"name"`
}
