package server

import (
	"slices"
	"testing"
	"time"

	"midge/api"
	"midge/server/state"
)

func TestTreesInUse(t *testing.T) {
	s := mustNew(t, testConfig(shortDir(t)))
	ctx := t.Context()
	for _, digest := range []string{"used", "unused"} {
		if _, err := s.database.CreateArtifact(ctx, "main", api.Artifact{Digest: digest}); err != nil {
			t.Fatal(err)
		}
	}
	plan := api.Plan{ID: "1", Do: []api.Plan{
		{ID: "2", ArtifactInput: &api.ArtifactInputPlan{ArtifactID: 1, Name: "in"}},
		{ID: "3", ArtifactInput: &api.ArtifactInputPlan{ArtifactID: 99, Name: "gone"}},
	}}
	build, _, err := s.database.CreateBuild(ctx, state.NewBuild{Team: "main", Plan: plan})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.treesInUse(ctx); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v; want none without a container", got, err)
	}
	for _, handle := range []string{"a", "b"} {
		err := s.database.SaveContainer(ctx, state.Container{Handle: handle, Team: "main", BuildID: build.ID, CreatedAt: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.treesInUse(ctx); err != nil || !slices.Equal(got, []string{"used"}) {
		t.Errorf("got %v, %v; want the tree in use alone", got, err)
	}
}
