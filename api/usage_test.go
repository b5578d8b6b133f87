package api

import "testing"

func TestBuildUsageAdd(t *testing.T) {
	var used BuildUsage
	for _, step := range []StepUsage{
		{Name: "task a"}, {Name: "task a"}, // tried twice
		{Name: "hijack sh", Session: "one"}, {Name: "hijack sh", Session: "two"}, {Name: "hijack sh", Session: "one"},
	} {
		used.Add(step)
	}
	if len(used.Steps) != 4 {
		t.Errorf("there are %d steps and sessions, want 4: %+v", len(used.Steps), used.Steps)
	}
}
