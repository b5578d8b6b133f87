package health

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"midge/api"
	"midge/client"
)

// Step is a part of the way of a build, and how long that took.
type Step struct {
	Name        string  `json:"name"`
	TookSeconds float64 `json:"took_seconds"`
}

// smokeFile is what the tiny build reads and copies.
const smokeFile = "nonce"

// Smoke runs a tiny build through every part of a server: a file is uploaded, a task in
// a container of the host image copies it, and it comes back as an output. It gives
// the steps that went well, and an error that names the one that did not.
func Smoke(ctx context.Context, c *client.Client) ([]Step, error) {
	s := &smoke{client: c, last: time.Now(), nonce: rand.Text()}
	for _, part := range []struct {
		name string
		run  func(ctx context.Context) error
	}{
		{"answer a request", s.ask}, {"upload an artifact", s.upload}, {"create a build", s.create},
		{"", s.follow}, {"download an artifact", s.download},
	} {
		if err := part.run(ctx); err != nil {
			if part.name == "" {
				return s.steps, err
			}
			return s.steps, fmt.Errorf("%s: %w", part.name, err)
		}
		if part.name != "" {
			s.did(part.name)
		}
	}
	return s.steps, nil
}

// smoke is one run of Smoke.
type smoke struct {
	client *client.Client
	nonce  string
	last   time.Time // when the last step ended
	steps  []Step

	artifact api.Artifact
	build    api.Build
}

// did notes that a step has ended now.
func (s *smoke) did(name string) {
	now := time.Now()
	s.steps = append(s.steps, Step{name, now.Sub(s.last).Seconds()})
	s.last = now
}

func (s *smoke) ask(ctx context.Context) error {
	_, err := s.client.Info(ctx)
	return err
}

func (s *smoke) upload(ctx context.Context) error {
	var archive bytes.Buffer
	compressed := gzip.NewWriter(&archive)
	w := tar.NewWriter(compressed)
	err := w.WriteHeader(&tar.Header{Name: smokeFile, Mode: 0o644, Size: int64(len(s.nonce)), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = io.WriteString(w, s.nonce)
	}
	if err = errors.Join(err, w.Close(), compressed.Close()); err != nil {
		return err
	}
	s.artifact, err = s.client.UploadArtifact(ctx, &archive, client.UploadOptions{})
	return err
}

func (s *smoke) create(ctx context.Context) error {
	plan := api.Plan{ID: "1", Do: []api.Plan{
		{ID: "2", ArtifactInput: &api.ArtifactInputPlan{ArtifactID: s.artifact.ID, Name: "in"}},
		{ID: "3", Task: &api.TaskPlan{Name: "smoke", TTY: new(bool), Config: &api.TaskConfig{
			Platform: "linux",
			Inputs:   []api.TaskInput{{Name: "in"}},
			Outputs:  []api.TaskOutput{{Name: "out"}},
			Run:      api.TaskRun{Path: "sh", Args: []string{"-c", "cat in/" + smokeFile + " && cp in/" + smokeFile + " out/"}},
		}}},
		{ID: "4", ArtifactOutput: &api.ArtifactOutputPlan{Name: "out"}},
	}}
	var err error
	s.build, err = s.client.CreateBuild(ctx, plan, s.nonce)
	return err
}

// follow takes the times of the steps of the build from when their events arrive.
func (s *smoke) follow(ctx context.Context) error {
	var output bytes.Buffer
	var status api.BuildStatus
	why := ""
	for event, err := range s.client.Events(ctx, s.build.ID, "") {
		if err != nil {
			return fmt.Errorf("follow build %d: %w", s.build.ID, err)
		}
		data, err := event.Decode()
		if unknown := (*api.UnknownEventError)(nil); errors.As(err, &unknown) {
			continue
		}
		if err != nil {
			return fmt.Errorf("follow build %d: %w", s.build.ID, err)
		}
		switch data := data.(type) {
		case api.WaitingEvent:
			why = ": it waits, because " + data.Reason
		case api.InitializeTaskEvent:
			s.did("take its turn")
		case api.StartTaskEvent:
			s.did("make a container")
		case api.LogEvent:
			output.Write(data.Output())
		case api.FinishTaskEvent:
			s.did("run a task")
		case api.ErrorEvent:
			why = ": " + data.Message
		case api.StatusEvent:
			status = data.Status
		}
	}
	s.did("store an artifact, end the build")
	switch {
	case status != api.StatusSucceeded:
		return fmt.Errorf("build %d is %s%s", s.build.ID, status, why)
	case output.String() != s.nonce:
		return fmt.Errorf("the log of build %d has %q where its task wrote %q", s.build.ID, output.String(), s.nonce)
	}
	return nil
}

func (s *smoke) download(ctx context.Context) error {
	artifacts, err := s.client.BuildArtifacts(ctx, s.build.ID)
	if err != nil {
		return err
	}
	if len(artifacts) != 1 {
		return fmt.Errorf("build %d has %d artifacts, and made one", s.build.ID, len(artifacts))
	}
	body, err := s.client.ArtifactFile(ctx, artifacts[0].ID, smokeFile)
	if err != nil {
		return err
	}
	defer body.Close()
	content, err := io.ReadAll(io.LimitReader(body, 1<<10))
	if err == nil && string(content) != s.nonce {
		err = fmt.Errorf("the artifact has %q where %q was sent", content, s.nonce)
	}
	return err
}
