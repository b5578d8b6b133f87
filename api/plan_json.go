package api

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// UnmarshalJSON reads a plan. Step fields it does not know are in Unknown, and
// those that are null are not set. A plan nested too deep is an error.
func (p *Plan) UnmarshalJSON(data []byte) error {
	reader := planReader{json.NewDecoder(bytes.NewReader(data))}
	plan, err := reader.plan(1)
	if err != nil {
		return err
	}
	*p = plan
	return nil
}

// planReader reads plans token by token: reading each level anew, as nested
// UnmarshalJSON methods do, takes time that grows with the square of the depth.
type planReader struct{ *json.Decoder }

func (r planReader) plan(depth int) (Plan, error) {
	if depth > maxDepth {
		return Plan{}, fmt.Errorf("the plan is nested more than %d deep", maxDepth)
	}
	var p Plan
	_, err := r.object("a plan", func(field string) error { return r.field(&p, field, depth+1) })
	return p, err
}

// field reads the value of a plan's field.
func (r planReader) field(p *Plan, field string, depth int) (err error) {
	switch PlanKind(field) {
	case "id":
		return r.Decode(&p.ID)
	case "attempts": // where retries have numbered the steps below them
		var attempts []int
		return r.Decode(&attempts)
	case PlanDo:
		p.Do, err = r.plans(depth)
	case PlanRetry:
		p.Retry, err = r.plans(depth)
	case PlanInParallel:
		p.InParallel, err = r.inParallel(depth)
	case PlanEnsure:
		p.Ensure, err = r.hook(field, depth)
	case PlanOnSuccess:
		var hook *EnsurePlan
		hook, err = r.hook(field, depth)
		p.OnSuccess = (*OnSuccessPlan)(hook)
	case PlanOnFailure:
		var hook *EnsurePlan
		hook, err = r.hook(field, depth)
		p.OnFailure = (*OnFailurePlan)(hook)
	case PlanOnAbort:
		var hook *EnsurePlan
		hook, err = r.hook(field, depth)
		p.OnAbort = (*OnAbortPlan)(hook)
	case PlanOnError:
		var hook *EnsurePlan
		hook, err = r.hook(field, depth)
		p.OnError = (*OnErrorPlan)(hook)
	case PlanTry:
		p.Try, err = r.try(depth)
	case PlanTimeout:
		p.Timeout, err = r.timeout(depth)
	case PlanTask:
		return r.leaf(field, &p.Task)
	case PlanArtifactInput:
		return r.leaf(field, &p.ArtifactInput)
	case PlanArtifactOutput:
		return r.leaf(field, &p.ArtifactOutput)
	default:
		return r.unknown(p, field)
	}
	return err
}

func (r planReader) leaf(field string, into any) error {
	if err := r.Decode(into); err != nil {
		return fmt.Errorf("read %s: %w", field, err)
	}
	return nil
}

func (r planReader) unknown(p *Plan, field string) error {
	var raw json.RawMessage
	if err := r.Decode(&raw); err != nil {
		return err
	}
	if p.Unknown == nil {
		p.Unknown = map[string]json.RawMessage{}
	}
	p.Unknown[field] = raw
	return nil
}

// object reads an object, field by field; read takes each field's value. It
// reports false when there is null instead.
func (r planReader) object(what string, read func(field string) error) (bool, error) {
	start, err := r.Token()
	if err != nil || start == nil {
		return false, err
	}
	if start != json.Delim('{') {
		return false, fmt.Errorf("%s must be an object, and is %v", what, start)
	}
	for r.More() {
		field, err := r.Token()
		if err != nil {
			return true, err
		}
		if err := read(field.(string)); err != nil {
			return true, err
		}
	}
	_, err = r.Token()
	return true, err
}

// plans reads a list of plans; null is nil.
func (r planReader) plans(depth int) ([]Plan, error) {
	start, err := r.Token()
	if err != nil || start == nil {
		return nil, err
	}
	if start != json.Delim('[') {
		return nil, fmt.Errorf("steps must be a list, and are %v", start)
	}
	plans := []Plan{}
	for r.More() {
		if len(plans) == maxPlanSteps {
			return nil, fmt.Errorf("the plan has more than %d steps", maxPlanSteps)
		}
		plan, err := r.plan(depth)
		if err != nil {
			return nil, err
		}
		plans = append(plans, plan)
	}
	_, err = r.Token()
	return plans, err
}

func (r planReader) inParallel(depth int) (*InParallelPlan, error) {
	var in InParallelPlan
	present, err := r.object(string(PlanInParallel), func(field string) (err error) {
		switch field {
		case "steps":
			in.Steps, err = r.plans(depth)
		case "limit":
			err = r.Decode(&in.Limit)
		case "fail_fast":
			err = r.Decode(&in.FailFast)
		default:
			err = r.skip()
		}
		return err
	})
	if !present {
		return nil, err
	}
	return &in, err
}

func (r planReader) skip() error {
	var raw json.RawMessage
	return r.Decode(&raw)
}

// hook reads a step and what comes after it, which stands in a field of the
// hook's own name. All hooks have the shape of an ensure.
func (r planReader) hook(name string, depth int) (*EnsurePlan, error) {
	var h EnsurePlan
	present, err := r.object(name, func(field string) (err error) {
		switch field {
		case "step":
			h.Step, err = r.plan(depth)
		case name:
			h.Next, err = r.plan(depth)
		default:
			err = r.skip()
		}
		return err
	})
	if !present {
		return nil, err
	}
	return &h, err
}

func (r planReader) try(depth int) (*TryPlan, error) {
	var t TryPlan
	present, err := r.object(string(PlanTry), func(field string) (err error) {
		if field != "step" {
			return r.skip()
		}
		t.Step, err = r.plan(depth)
		return err
	})
	if !present {
		return nil, err
	}
	return &t, err
}

func (r planReader) timeout(depth int) (*TimeoutPlan, error) {
	var t TimeoutPlan
	present, err := r.object(string(PlanTimeout), func(field string) (err error) {
		switch field {
		case "step":
			t.Step, err = r.plan(depth)
		case "duration":
			err = r.Decode(&t.Duration)
		default:
			err = r.skip()
		}
		return err
	})
	if !present {
		return nil, err
	}
	return &t, err
}
