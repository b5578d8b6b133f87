package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func parsePlan(t testing.TB, text string) *Plan {
	t.Helper()
	var plan Plan
	if err := json.Unmarshal([]byte(text), &plan); err != nil {
		t.Fatalf("parse plan %.200s: %v", text, err)
	}
	return &plan
}

func TestRecordedPlans(t *testing.T) {
	for _, text := range recordedPlans(t) {
		plan := parsePlan(t, text)
		if err := plan.Validate(); err != nil {
			t.Errorf("plan %s\nis refused: %v", text, err)
		}
		encoded, err := json.Marshal(plan)
		if err != nil {
			t.Fatal(err)
		}
		if string(encoded) != text {
			t.Errorf("plan\n%s\ncomes back as\n%s", text, encoded)
		}
	}
}

// validTask is a task step that nothing is wrong with.
const validTask = `{"name":"t","config":{"platform":"linux","run":{"path":"true"}}}`

func TestPlanKinds(t *testing.T) {
	const task = `{"task":` + validTask + `}`
	plan := parsePlan(t, `{"do":[
		{"in_parallel":{"steps":[`+task+`],"limit":2,"fail_fast":true}},
		{"ensure":{"step":`+task+`,"ensure":`+task+`}},
		{"on_success":{"step":`+task+`,"on_success":`+task+`}},
		{"on_failure":{"step":`+task+`,"on_failure":`+task+`}},
		{"on_abort":{"step":`+task+`,"on_abort":`+task+`}},
		{"on_error":{"step":`+task+`,"on_error":`+task+`}},
		{"try":{"step":`+task+`}},
		{"timeout":{"step":`+task+`,"duration":"1h30m"}},
		{"retry":[`+task+`,`+task+`],"attempts":[1]},
		{"artifact_input":{"artifact_id":1,"name":"in"}},
		{"artifact_output":{"name":"out"}},
		{"do":[]},
		{"in_parallel":{"steps":null}},
		{"task":null,"do":[]}
	]}`)
	plan.AssignIDs()
	if err := plan.Validate(); err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, step := range plan.Do {
		kinds = append(kinds, fmt.Sprintf("%s %d", step.Kind(), len(step.Children())))
	}
	want := []string{
		"in_parallel 1", "ensure 2", "on_success 2", "on_failure 2", "on_abort 2", "on_error 2", "try 1",
		"timeout 1", "retry 2", "artifact_input 0", "artifact_output 0", "do 0", "in_parallel 0", "do 0",
	}
	if !slices.Equal(kinds, want) {
		t.Errorf("kinds and children are %q, want %q", kinds, want)
	}

	// What is stored and read again is the same plan.
	first, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	again := parsePlan(t, string(first))
	if err := again.Validate(); err != nil {
		t.Error(err)
	}
	if second, err := json.Marshal(again); err != nil || string(second) != string(first) {
		t.Errorf("plan\n%s\ncomes back as\n%s, %v", first, second, err)
	}
}

func TestPlanAll(t *testing.T) {
	plan := parsePlan(t, `{"id":"a","do":[{"id":"b","try":{"step":{"id":"c"}}},{"id":"d","ensure":{"step":{"id":"e"},"ensure":{"id":"f"}}}]}`)
	var ids []string
	for step := range plan.All() {
		ids = append(ids, step.ID)
		if step.ID == "e" {
			break
		}
	}
	if got := strings.Join(ids, ""); got != "abcde" {
		t.Errorf("walked %s, want abcde", got)
	}
}

func TestAssignIDs(t *testing.T) {
	plan := parsePlan(t, `{"do":[{"id":"2","do":[]},{"do":[]},{"id":"1","do":[]},{"do":[]}]}`)
	plan.AssignIDs()
	var ids []string
	for step := range plan.All() {
		ids = append(ids, step.ID)
	}
	if want := []string{"3", "2", "4", "1", "5"}; !slices.Equal(ids, want) {
		t.Errorf("ids are %q, want %q", ids, want)
	}
}

func TestPlanValidateErrors(t *testing.T) {
	tests := []struct {
		plan string
		want []string
	}{
		{`{}`, []string{`step "": it has no id`, `step "": it says nothing to do`}},
		{`{"id":"a","get":{"name":"x"}}`, []string{`step "a": "get" steps are not run here`}},
		{`{"id":"a","do":[{"id":"b","set_pipeline":{}},{"id":"c","load_var":{},"check":1}]}`, []string{
			`step "b": "set_pipeline" steps are not run here`, `step "c": "check" steps are not run here`, `step "c": "load_var" steps are not run here`,
		}},
		{`{"id":"a","do":[],"put":{}}`, []string{`step "a": "put" steps are not run here`}},
		{`{"id":"a","do":[],"retry":[{"id":"b","do":[]}]}`, []string{`step "a": it is both a do and a retry step`}},
		{`{"id":"a","do":[{"id":"a","do":[]},{"do":[]}]}`, []string{`step "a": the id is that of another step too`, `step "": it has no id`}},
		{`{"id":"a","in_parallel":{"steps":[],"limit":-1}}`, []string{`step "a": its limit is -1`}},
		{`{"id":"a","retry":[]}`, []string{`step "a": it has 0 attempts, and must have 1 to 1000`}},
		{`{"id":"a","timeout":{"duration":"soon","step":{"id":"b","do":[]}}}`, []string{`step "a": its timeout is "soon": write a duration as in 1h30m`}},
		{`{"id":"a","timeout":{"duration":"-1s","step":{"id":"b","do":[]}}}`, []string{`step "a": its timeout is "-1s"`}},
		{`{"id":"a","timeout":{"duration":"1s"}}`, []string{`step "": it has no id`, `step "": it says nothing to do`}},
		{`{"id":"a","artifact_input":{}}`, []string{`step "a": it has no name`, `step "a": its artifact_id is 0`}},
		{`{"id":"a","artifact_output":{"name":"a\u0000"}}`, []string{`step "a": its name "a\x00" has control characters`}},
		{`{"id":"a","artifact_output":{"name":"` + strings.Repeat("n", 257) + `"}}`, []string{`step "a": its name is longer than 256 bytes`}},
		{`{"id":"a\n","do":[]}`, []string{`step "a\n": its id is longer than 256 bytes or has control characters`}},
		{`{"id":"a","task":{"name":"t"}}`, []string{`step "a": it has no config`}},
		{`{"id":"a","task":{"config":{"inputs":[{"name":"../x"}]},"params":{"":1},"container_limits":{"memory":1}}}`, []string{
			`step "a": it has no name`, `step "a": container_limits.memory is 1 bytes`, `step "a": "" cannot be the name of a param`,
			`step "a": platform is missing`, `step "a": run.path is missing`, `step "a": the path of the input is "../x": a path may not have .. in it`,
		}},
		{`{"id":"a","task":{"name":"t","image":"i","config":{"platform":"linux"}}}`, nil},
	}
	for _, test := range tests {
		err := parsePlan(t, test.plan).Validate()
		var lines []string
		if err != nil {
			lines = strings.Split(err.Error(), "\n")
		}
		if !slices.EqualFunc(lines, test.want, strings.HasPrefix) {
			t.Errorf("plan %.200s gives\n%s\nwant\n%s", test.plan, strings.Join(lines, "\n"), strings.Join(test.want, "\n"))
		}
	}
}

func TestPlanBounds(t *testing.T) {
	nested := func(depth int) string {
		return strings.Repeat(`{"try":{"step":`, depth) + `{"do":[]}` + strings.Repeat(`}}`, depth)
	}
	wide := func(steps int) string {
		return `{"do":[{"do":[` + strings.Repeat(`{"do":[]},`, steps/2) + `{"do":[]}]},{"do":[` + strings.Repeat(`{"do":[]},`, steps/2) + `{"do":[]}]}]}`
	}
	tests := []struct{ name, plan, want string }{
		{"deep", nested(99), ""},
		{"too deep", nested(100), "the plan is nested more than 100 deep"},
		{"far too deep", nested(4000), "the plan is nested more than 100 deep"},
		{"wide", wide(9000), ""},
		{"too wide", wide(10_100), "the plan has more than 10000 steps"},
		{"far too wide", wide(50_000), "the plan has more than 10000 steps"},
		{"many problems", `{"do":[` + strings.Repeat(`{"get":1},`, 5000) + `{"do":[]}]}`, `"get" steps are not run here`},
	}
	for _, test := range tests {
		var plan Plan
		err := json.Unmarshal([]byte(test.plan), &plan)
		if err == nil {
			plan.AssignIDs()
			err = plan.Validate()
		}
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: got the error %v, want %q", test.name, err, test.want)
		case err != nil && strings.Count(err.Error(), "\n") > maxProblems:
			t.Errorf("%s: %d problems are reported", test.name, strings.Count(err.Error(), "\n"))
		}
	}
}

func TestPlanThatIsNoPlan(t *testing.T) {
	for _, text := range []string{`[]`, `"a"`, `{"do":{}}`, `{"do":[1]}`, `{"id":1}`, `{"task":[]}`, `{"try":[]}`, `{"in_parallel":{"limit":"two"}}`, `{"timeout":{"duration":1}}`} {
		var plan Plan
		if err := json.Unmarshal([]byte(text), &plan); err == nil {
			t.Errorf("%s was read as the plan %+v", text, plan)
		}
	}
}

func FuzzPlan(f *testing.F) {
	for _, plan := range recordedPlans(f) {
		f.Add([]byte(plan))
	}
	f.Add([]byte(`{"id":"a","retry":[{"timeout":{"step":{"task":` + validTask + `},"duration":"1m"}}]}`))
	f.Add([]byte(`{"id":"a","get":{"name":"x"},"attempts":[1],"in_parallel":{"steps":null}}`))
	f.Add([]byte(`{"task":{"params":{"A":1.10,"B":null,"C":{"d":[]}},"container_limits":{"memory":"1GB","cpu":1e3}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var plan Plan
		if json.Unmarshal(data, &plan) != nil {
			return
		}
		plan.AssignIDs()
		if plan.Validate() != nil {
			return
		}
		encoded, err := json.Marshal(plan)
		if err != nil {
			t.Fatalf("plan %s cannot be encoded: %v", data, err)
		}
		var again Plan
		if err := json.Unmarshal(encoded, &again); err != nil {
			t.Fatalf("plan %s cannot be read again: %v", encoded, err)
		}
		if err := again.Validate(); err != nil {
			t.Fatalf("plan %s is refused the second time: %v", encoded, err)
		}
	})
}
