package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"midge/api"
	"midge/server/state"
	"midge/trace"
)

// artifactInput makes an artifact that was kept before known in the build.
type artifactInput struct {
	*build
	plan *api.ArtifactInputPlan
}

func (s *artifactInput) run(ctx context.Context, _ *state.Step) (out outcome, err error) {
	ctx, span := trace.StartSpan(ctx, "artifact_input "+s.plan.Name, trace.Input(s.plan.Name))
	defer func() { span.End(err) }()
	if err := s.open(ctx); err != nil {
		return errored, fmt.Errorf("input %q: %w", s.plan.Name, err)
	}
	if artifact, ok := s.artifacts.find(s.plan.Name); ok {
		span.Set(trace.Digest(artifact.Handle()))
	}
	return succeeded, nil
}

func (s *artifactInput) restore(ctx context.Context, row state.Step) error {
	if row.State != state.StepSucceeded {
		return nil
	}
	return s.open(ctx)
}

func (s *artifactInput) open(ctx context.Context) error {
	row, err := s.engine.options.State.Artifact(ctx, s.plan.ArtifactID)
	var missing *state.NotFoundError
	// One of another team is not told from one that is not there.
	if errors.As(err, &missing) || err == nil && row.Team != s.record.TeamName {
		return fmt.Errorf("the team %s has no artifact %d: it may have expired, so upload it again", s.record.TeamName, s.plan.ArtifactID)
	}
	if err != nil {
		return err
	}
	artifact, err := s.engine.options.Artifacts.Open(ctx, row.Team, row.Digest)
	if err != nil {
		return fmt.Errorf("open artifact %d: %w", s.plan.ArtifactID, err)
	}
	s.artifacts.add(s.plan.Name, artifact)
	return nil
}

// artifactOutput keeps an artifact of the build after it.
type artifactOutput struct {
	*build
	plan *api.ArtifactOutputPlan
	made api.Artifact // once run has succeeded
}

func (s *artifactOutput) run(ctx context.Context, _ *state.Step) (out outcome, err error) {
	ctx, span := trace.StartSpan(ctx, "artifact_output "+s.plan.Name, trace.Input(s.plan.Name))
	defer func() { span.End(err) }()
	artifact, ok := s.artifacts.find(s.plan.Name)
	if after, _ := ctx.Value(afterError{}).(bool); !ok && after {
		return errored, nil // what was to make it has said why it did not
	}
	if !ok {
		return errored, fmt.Errorf("output %q: no step of the build has made it; there is %s", s.plan.Name, list(s.artifacts.names()))
	}
	digest, files, bytes, err := s.engine.options.Artifacts.Ingest(ctx, s.record.TeamName, artifact)
	if err != nil {
		return errored, fmt.Errorf("output %q: %w", s.plan.Name, err)
	}
	span.Set(trace.Files(files), trace.Bytes(bytes), trace.Digest(digest))
	s.made = api.Artifact{
		Name: s.plan.Name, BuildID: s.record.ID, CreatedAt: now(),
		Digest: digest, Files: files, Bytes: bytes,
	}
	return succeeded, nil
}

func (s *artifactOutput) restore(context.Context, state.Step) error { return nil }

func (s *artifactOutput) save(row state.Step) error {
	if row.State != state.StepSucceeded {
		return s.build.save(row)
	}
	_, err := s.engine.options.State.CreateArtifact(s.writing, s.record.TeamName, s.made, row)
	return err
}

// list puts names into a sentence.
func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
