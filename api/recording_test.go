package api

import (
	"os"
	"strings"
	"testing"
)

// recorded gives the lines of a recorded exchange that begin with prefix, without it.
func recorded(t testing.TB, name, prefix string) []string {
	t.Helper()
	recording, err := os.ReadFile("../testdata/wire/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(recording)) {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			lines = append(lines, strings.TrimSuffix(rest, "\n"))
		}
	}
	if len(lines) == 0 {
		t.Fatalf("%s has no line with %q", name, prefix)
	}
	return lines
}

// recordedPlans gives the plans that fly sent.
func recordedPlans(t testing.TB) []string {
	t.Helper()
	var plans []string
	for _, line := range recorded(t, "execute.txt", `{"id":"6b`) {
		plans = append(plans, `{"id":"6b`+line)
	}
	return plans
}
