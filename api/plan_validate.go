package api

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// maxPlanSteps bounds the steps of a plan, those that hold others included.
	maxPlanSteps = 10_000
	// maxAttempts bounds how often a retry tries.
	maxAttempts = 1000
	// maxName bounds names of steps and artifacts, in bytes.
	maxName = 256
)

// AssignIDs gives an id to every plan that has none, one that no other has.
func (p *Plan) AssignIDs() {
	used := map[string]bool{}
	for step := range p.All() {
		used[step.ID] = true
	}
	next := 1
	for step := range p.All() {
		if step.ID != "" {
			continue
		}
		for used[strconv.Itoa(next)] {
			next++
		}
		step.ID = strconv.Itoa(next)
		used[step.ID] = true
	}
}

// Validate checks a plan that came over the wire. Each plan must have an id of its
// own (see AssignIDs) and exactly one step field, of a kind that midge runs. All
// that is wrong, up to the first hundred, is in a *ConfigError.
func (p *Plan) Validate() error {
	v := planValidator{ids: map[string]bool{}}
	v.plan(p, 1)
	return v.problems.err()
}

// maxProblems bounds what is said about one plan.
const maxProblems = 100

type planValidator struct {
	problems problems
	ids      map[string]bool
	steps    int
}

func (v *planValidator) report(p *Plan, format string, args ...any) {
	if len(v.problems.list) < maxProblems {
		v.problems.add(position{}, "", "step %q: "+format, append([]any{p.ID}, args...)...)
	}
}

func (v *planValidator) plan(p *Plan, depth int) {
	if depth > maxDepth {
		v.report(p, "the plan is nested more than %d deep", maxDepth)
		return
	}
	if v.steps++; v.steps > maxPlanSteps {
		if v.steps == maxPlanSteps+1 {
			v.report(p, "the plan has more than %d steps", maxPlanSteps)
		}
		return
	}
	v.id(p)
	if v.kind(p) {
		v.step(p)
	}
	for _, child := range p.Children() {
		v.plan(child, depth+1)
	}
}

func (v *planValidator) id(p *Plan) {
	switch {
	case p.ID == "":
		v.report(p, "it has no id")
	case len(p.ID) > maxName || strings.ContainsFunc(p.ID, isControl):
		v.report(p, "its id is longer than %d bytes or has control characters", maxName)
	case v.ids[p.ID]:
		v.report(p, "the id is that of another step too")
	}
	v.ids[p.ID] = true
}

// kind tells whether a plan has exactly one step field.
func (v *planValidator) kind(p *Plan) bool {
	for _, name := range slices.Sorted(maps.Keys(p.Unknown)) {
		v.report(p, "%q steps are not run here: a one-off build may have tasks, artifacts and the steps that order them", name)
	}
	kinds := p.kinds()
	switch {
	case len(kinds) == 1 && len(p.Unknown) == 0:
		return true
	case len(kinds) > 1:
		v.report(p, "it is both a %s and a %s step", kinds[0], kinds[1])
	case len(kinds) == 0 && len(p.Unknown) == 0:
		v.report(p, "it says nothing to do")
	}
	return false
}

// step checks what a plan of one kind says itself, apart from the plans below it.
func (v *planValidator) step(p *Plan) {
	switch p.Kind() {
	case PlanInParallel:
		if p.InParallel.Limit < 0 {
			v.report(p, "its limit is %d: write how many steps may run at once, or 0 for all", p.InParallel.Limit)
		}
	case PlanRetry:
		if len(p.Retry) == 0 || len(p.Retry) > maxAttempts {
			v.report(p, "it has %d attempts, and must have 1 to %d", len(p.Retry), maxAttempts)
		}
	case PlanTimeout:
		if duration, err := time.ParseDuration(p.Timeout.Duration); err != nil || duration <= 0 {
			v.report(p, "its timeout is %q: write a duration as in 1h30m", p.Timeout.Duration)
		}
	case PlanTask:
		v.task(p)
	case PlanArtifactInput:
		v.name(p, p.ArtifactInput.Name)
		if p.ArtifactInput.ArtifactID <= 0 {
			v.report(p, "its artifact_id is %d, and ids begin at 1", p.ArtifactInput.ArtifactID)
		}
	case PlanArtifactOutput:
		v.name(p, p.ArtifactOutput.Name)
	}
}

func (v *planValidator) name(p *Plan, name string) {
	switch {
	case name == "":
		v.report(p, "it has no name")
	case len(name) > maxName:
		v.report(p, "its name is longer than %d bytes", maxName)
	case strings.ContainsFunc(name, isControl):
		v.report(p, "its name %q has control characters in it", name)
	}
}

func (v *planValidator) task(p *Plan) {
	task := p.Task
	v.name(p, task.Name)
	report := func(field, format string, args ...any) {
		v.report(p, "%s", fmt.Sprintf(format, args...))
	}
	if hold, err := time.ParseDuration(task.Hold); task.Hold != "" && (err != nil || hold < 0) {
		v.report(p, "its container is to be held for %q: write a duration as in 2h, or 0", task.Hold)
	}
	task.Limits.check(report, "container_limits")
	checkParams(report, "params", task.Params)
	if task.Config == nil {
		v.report(p, "it has no config: task files in artifacts are not read here")
		return
	}
	if task.ImageArtifactName != "" {
		task.Config.checkForImage(report)
	} else {
		task.Config.check(report)
	}
}
