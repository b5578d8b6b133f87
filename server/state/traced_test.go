package state

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"midge/trace"
)

func TestSummarise(t *testing.T) {
	for query, want := range map[string]string{
		"SELECT id, name\n\t FROM teams WHERE id = ?":        "SELECT teams",
		"select count(*) from builds;":                       "SELECT builds",
		"INSERT INTO builds (team_id) VALUES (?)":            "INSERT builds",
		"INSERT OR REPLACE INTO steps(build_id) VALUES (?)":  "INSERT steps",
		"UPDATE builds SET status = ?":                       "UPDATE builds",
		"DELETE FROM tokens":                                 "DELETE tokens",
		"SELECT b.id FROM (SELECT id FROM builds) b":         "SELECT builds",
		"PRAGMA synchronous = FULL":                          "PRAGMA synchronous",
		"WITH old AS (SELECT 1 FROM builds) DELETE FROM old": "WITH builds",
		"COMMIT": "COMMIT", "": "SQL", "SELECT": "SELECT", "select 1": "SELECT",
	} {
		if got := summarise(query); got != want {
			t.Errorf("%q is %q, want %q", query, got, want)
		}
	}
}

// Each statement, and the commit that waits for the disk, has a span that only those see who ask for all.
func TestStatementsHaveSpans(t *testing.T) {
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	memory := trace.NewMemory(100)
	stop, err := trace.Record(trace.Options{Keep: memory.Keep})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(context.Background())
	ctx, request := trace.StartSpan(t.Context(), "request")
	team, err := db.EnsureTeam(ctx, "main")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := db.CreateBuild(ctx, NewBuild{Team: team.Name}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Build(ctx, 1); err != nil {
		t.Fatal(err)
	}
	request.End(nil)
	spans, _ := memory.Spans()
	var names []string
	for _, span := range spans {
		names = append(names, span.Name)
		if level, _ := span.Attribute(trace.LevelKey); span.Name != "request" && level != trace.Debug.Value {
			t.Errorf("the span %q is not one for details", span.Name)
		}
	}
	for _, want := range []string{"INSERT teams", "BEGIN", "INSERT builds", "COMMIT", "SELECT builds"} {
		if !slices.Contains(names, want) {
			t.Errorf("no span is named %q: %q", want, names)
		}
	}
}
