package server

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	oteltrace "go.opentelemetry.io/otel/trace"

	"midge/api"
	"midge/runtime"
	"midge/runtime/runtimetest"
	"midge/server/eventlog"
	"midge/server/state"
	"midge/trace"
	"midge/trace/otlp"
)

func TestCollectRemovesWhatNoArtifactIsMadeOf(t *testing.T) {
	config := testConfig(shortDir(t))
	config.UploadGrace = time.Nanosecond
	s := mustNew(t, config)
	ctx := t.Context()
	kept, forgotten := ingestFile(t, s, "kept"), ingestFile(t, s, "forgotten")
	if _, err := s.database.CreateArtifact(ctx, "main", api.Artifact{Digest: kept}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.collectArtifacts(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := s.artifacts.Open(ctx, "main", kept); err != nil {
		t.Errorf("an artifact is gone: %v", err)
	}
	if _, err := s.artifacts.Open(ctx, "main", forgotten); !errors.As(err, new(*runtime.NotFoundError)) {
		t.Errorf("what no artifact is made of is still there (%v)", err)
	}
}

// ingestFile stores a tree of one file with that content.
func ingestFile(t *testing.T, s *Server, content string) (digest string) {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: "file", Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	digest, _, _, err := s.artifacts.IngestTar(t.Context(), "main", &archive)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func TestCollectRemovesBuildsBeyondThoseKept(t *testing.T) {
	config := testConfig(shortDir(t))
	config.KeepBuilds, config.BuildGrace = 2, time.Nanosecond
	s := mustNew(t, config)
	ctx := t.Context()
	traces, err := trace.OpenStore(t.TempDir(), s.log)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := traces.Close(); err != nil {
			t.Error(err)
		}
	}()
	s.traces = traces
	var builds []int
	for i := range 4 {
		id := finishedBuild(t, s, "main")
		builds = append(builds, id)
		traces.Keep(otlp.Span{TraceID: oteltrace.TraceID{1}, SpanID: oteltrace.SpanID{byte(i + 1)}, Attributes: []attribute.KeyValue{trace.Build(id)}})
	}
	if err := traces.Flush(); err != nil {
		t.Fatal(err)
	}
	values, err := s.collectBuilds(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if values["builds"] != 2 || values["removed_builds"] != 2 || values["removed_logs"] != 2 || values["removed_traces"] != 2 {
		t.Errorf("it reports %v", values)
	}
	logs, err := s.logs.Builds()
	slices.Sort(logs)
	if err != nil || !slices.Equal(logs, builds[2:]) {
		t.Errorf("there are the logs of builds %v (%v), want %v", logs, err, builds[2:])
	}
	parts, err := traces.Trace(oteltrace.TraceID{1})
	if err != nil || len(parts) != 2 || parts[0].Build != builds[2] {
		t.Errorf("there are the spans %+v (%v)", parts, err)
	}
}

// A build whose row was removed just before a crash leaves its log to the next server.
func TestCollectRemovesTheLogsOfBuildsThatAreGone(t *testing.T) {
	s := mustNew(t, testConfig(shortDir(t)))
	gone, stays := finishedBuild(t, s, "main"), finishedBuild(t, s, "main")
	if _, err := s.database.RemoveBuilds(t.Context(), 1, time.Now()); err != nil {
		t.Fatal(err)
	}
	writeLog(t, s, stays+1) // a build that is made at this moment
	values, err := s.collectBuilds(t.Context())
	if err != nil || values["removed_logs"] != 1 || values["removed_builds"] != 0 {
		t.Errorf("got %v, %v; want that the log of build %d is removed", values, err, gone)
	}
	logs, err := s.logs.Builds()
	slices.Sort(logs)
	if err != nil || !slices.Equal(logs, []int{stays, stays + 1}) {
		t.Errorf("there are the logs of builds %v (%v)", logs, err)
	}
}

// finishedBuild makes a build that has finished and has a log.
func finishedBuild(t *testing.T, s *Server, team string) int {
	t.Helper()
	build, _, err := s.database.CreateBuild(t.Context(), state.NewBuild{Team: team, Plan: api.Plan{ID: "1"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.database.FinishBuild(t.Context(), build.ID, api.StatusSucceeded, time.Now()); err != nil {
		t.Fatal(err)
	}
	writeLog(t, s, build.ID)
	return build.ID
}

func writeLog(t *testing.T, s *Server, build int) {
	t.Helper()
	log, err := s.logs.Open(build)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Append(eventlog.Event{Kind: "log", Version: "5.1", Data: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestCollectExpiresArtifacts(t *testing.T) {
	config := testConfig(shortDir(t))
	config.ArtifactTTL, config.UploadGrace = time.Hour, time.Nanosecond
	s := mustNew(t, config)
	ctx := t.Context()
	for content, age := range map[string]time.Duration{"old": 2 * time.Hour, "new": time.Minute} {
		digest := ingestFile(t, s, content)
		if _, err := s.database.CreateArtifact(ctx, "main", api.Artifact{Name: content, Digest: digest, CreatedAt: time.Now().Add(-age).Unix()}); err != nil {
			t.Fatal(err)
		}
	}
	values, err := s.collectArtifacts(ctx)
	if err != nil || values["expired_artifacts"] != 1 || values["freed_bytes"] == 0 {
		t.Errorf("got %v, %v; want that one has expired and its contents are freed", values, err)
	}
	left, err := s.database.TeamArtifacts(ctx, "main", 10)
	if err != nil || len(left) != 1 || left[0].Name != "new" {
		t.Errorf("there is %+v (%v), want the new one", left, err)
	}
}

// hidingWorker does not tell of some containers, as if they had been lost.
type hidingWorker struct {
	runtime.Worker
	hidden []string
}

func (w *hidingWorker) Containers(ctx context.Context) ([]string, error) {
	handles, err := w.Worker.Containers(ctx)
	return slices.DeleteFunc(handles, func(handle string) bool { return slices.Contains(w.hidden, handle) }), err
}

// A container that is made anew after a killed server is not there for a moment.
func TestCollectRemovesVolumesOfLostContainers(t *testing.T) {
	worker := &hidingWorker{runtimetest.NewWorker(runtimetest.Config{}), []string{"lost", "made-anew"}}
	config := testConfig(shortDir(t))
	config.DestroyOnExit = true
	config.OpenWorkers = func(context.Context, string) ([]runtime.Worker, func(), error) {
		return []runtime.Worker{worker}, nil, nil
	}
	s := mustNew(t, config)
	t.Cleanup(func() { worker.hidden = nil }) // before the server is shut down
	ctx := t.Context()
	for _, handle := range []string{"kept", "lost", "made-anew"} {
		if _, err := worker.FindOrCreateContainer(ctx, runtime.ContainerSpec{Handle: handle, Dir: "/work",
			Image: runtime.ImageSpec{Host: true}, Outputs: []runtime.Output{{Path: "out"}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.database.SaveContainer(ctx, state.Container{Handle: "made-anew", Team: "main", Worker: worker.Name()}); err != nil {
		t.Fatal(err)
	}
	if _, err := worker.CreateVolume(ctx, "asked-for"); err != nil {
		t.Fatal(err)
	}
	values, err := s.collectVolumes(ctx)
	if err != nil || values["removed_volumes"] != 1 || values["volumes"] != 3 {
		t.Errorf("got %v, %v; want that one of four volumes is removed", values, err)
	}
	volumes, err := worker.Volumes(ctx)
	if err != nil || slices.ContainsFunc(volumes, func(v runtime.VolumeInfo) bool { return v.ContainerHandle == "lost" }) {
		t.Errorf("there are the volumes %+v (%v)", volumes, err)
	}
}
