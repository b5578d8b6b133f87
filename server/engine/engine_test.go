package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"midge/api"
	"midge/runtime"
	"midge/runtime/runtimetest"
	"midge/server/eventlog"
	"midge/server/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testTeam = "main"

// server is what outlives an engine: its state, its logs, its workers and its artifacts.
type server struct {
	t       testing.TB
	options Options
	engine  *Engine // the one that runs now
	// endWhileWriting makes engines of runCrashing end during what they do.
	endWhileWriting bool
	// beforeOperation is called by workers of newWorker.
	beforeOperation func()
}

// newServer gives a server whose engine does not run yet, so that its options can be changed.
func newServer(t testing.TB, workers ...runtime.Worker) *server {
	t.Helper()
	dir := t.TempDir()
	database, err := state.Open(t.Context(), filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := database.EnsureTeam(t.Context(), testTeam); err != nil {
		t.Fatal(err)
	}
	if len(workers) == 0 {
		workers = []runtime.Worker{runtimetest.NewWorker(runtimetest.Config{})}
	}
	s := &server{t: t, options: Options{
		State:       database,
		Logs:        eventlog.NewStore(filepath.Join(dir, "builds")),
		Workers:     newPool(t, workers...),
		Artifacts:   newShelf(),
		ExternalURL: "http://midge.test",
		StopGrace:   time.Minute,
		Logger:      slog.New(slog.NewTextHandler(t.Output(), nil)),
	}}
	t.Cleanup(func() {
		s.stop()
		for _, worker := range workers {
			destroyAll(t, worker)
		}
		if err := database.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// destroyAll leaves nothing running on a worker.
func destroyAll(t testing.TB, worker runtime.Worker) {
	ctx := context.Background()
	handles, err := worker.Containers(ctx)
	if err != nil {
		t.Error(err)
	}
	for _, handle := range handles {
		container, err := worker.LookupContainer(ctx, handle)
		if err == nil {
			err = container.Destroy(ctx)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// start starts an engine, which takes up what the last one left.
func (s *server) start() {
	s.t.Helper()
	s.engine = New(s.options)
	if err := s.engine.Start(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// stop ends the engine that runs, if one does.
func (s *server) stop() {
	s.t.Helper()
	if s.engine == nil {
		return
	}
	if err := s.engine.Shutdown(context.Background()); err != nil {
		s.t.Error(err)
	}
	s.engine = nil
}

// create makes a build of a plan in JSON.
func (s *server) create(plan string) api.Build {
	s.t.Helper()
	build, err := s.engine.Create(s.t.Context(), state.NewBuild{Team: testTeam, Plan: parsePlan(s.t, plan), CreatedBy: "tester"})
	if err != nil {
		s.t.Fatal(err)
	}
	return build
}

func parsePlan(t testing.TB, text string) api.Plan {
	t.Helper()
	var plan api.Plan
	if err := json.Unmarshal([]byte(text), &plan); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	plan.AssignIDs()
	if err := plan.Validate(); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return plan
}

// finished waits for the end of a build's log and gives the build and its events.
func (s *server) finished(id int) (api.Build, []eventlog.Event) {
	s.t.Helper()
	events := s.await(id, func(eventlog.Event) bool { return false })
	record, err := s.options.State.Build(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	if !record.Status.Finished() {
		s.t.Fatalf("the log has ended, and the build is %s", record.Status)
	}
	return record.Build, events
}

// await waits for the first event of a build's log for which enough reports true,
// or the end, and gives all up to that.
func (s *server) await(id int, enough func(eventlog.Event) bool) []eventlog.Event {
	s.t.Helper()
	log, err := s.options.Logs.Open(id)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	var all []eventlog.Event
	for reader := log.From(0); ; {
		events, err := reader.Next(s.t.Context())
		if err == io.EOF {
			return all
		}
		if err != nil {
			s.t.Fatal(err)
		}
		for _, event := range events {
			event.Data = slices.Clone(event.Data)
			all = append(all, event)
			if enough(event) {
				return all
			}
		}
	}
}

// awaitOutput waits until a build's output has a text.
func (s *server) awaitOutput(id int, text string) {
	s.t.Helper()
	var output strings.Builder
	s.await(id, func(event eventlog.Event) bool {
		if log, ok := decode(s.t, event).(api.LogEvent); ok {
			output.WriteString(log.Payload)
		}
		return strings.Contains(output.String(), text)
	})
	if !strings.Contains(output.String(), text) {
		s.t.Fatalf("the build has ended without %q in its output: %q", text, output.String())
	}
}

// inContainer runs a shell script in the container of a build's step.
func (s *server) inContainer(id int, planID, script string) {
	s.t.Helper()
	rows, err := s.options.State.Containers(s.t.Context(), state.ContainerFilter{BuildID: id})
	if err != nil {
		s.t.Fatal(err)
	}
	i := slices.IndexFunc(rows, func(row state.Container) bool { return row.PlanID == planID })
	if i < 0 {
		s.t.Fatalf("the step %s has no container", planID)
	}
	worker, _ := s.options.Workers.Worker(rows[i].Worker)
	container, err := worker.LookupContainer(s.t.Context(), rows[i].Handle)
	if err != nil {
		s.t.Fatal(err)
	}
	process, err := container.Run(s.t.Context(), runtime.ProcessSpec{ID: "test", Path: "/bin/sh", Args: []string{"-c", script}})
	if err != nil {
		s.t.Fatal(err)
	}
	if status, err := process.Wait(s.t.Context()); err != nil || status.Code != 0 {
		s.t.Fatalf("%s: exit %d, %v", script, status.Code, err)
	}
}

// run runs a plan to its end.
func (s *server) run(plan string) (api.Build, []eventlog.Event) {
	s.t.Helper()
	return s.finished(s.create(plan).ID)
}

func decode(t testing.TB, event eventlog.Event) api.EventData {
	t.Helper()
	data, err := api.Event{Data: event.Data, Event: event.Kind, Version: event.Version}.Decode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// tell writes events a line each, without times: "ID KIND WHAT". Output of a
// stream that follows on itself is one line.
func tell(t testing.TB, events []eventlog.Event) string {
	t.Helper()
	var lines []string
	var last string // the stream of the last line
	for _, event := range events {
		var line, stream string
		switch e := decode(t, event).(type) {
		case api.StatusEvent:
			line = "status " + string(e.Status)
		case api.InitializeTaskEvent:
			line = e.Origin.ID + " initialize"
		case api.SelectedWorkerEvent:
			line = e.Origin.ID + " worker " + e.Worker
		case api.StartTaskEvent:
			line = e.Origin.ID + " start"
		case api.LogEvent:
			stream = e.Origin.ID + " " + e.Origin.Source
			if text := fmt.Sprintf("%q", e.Payload); stream == last {
				lines[len(lines)-1] = strings.TrimSuffix(lines[len(lines)-1], `"`) + text[1:]
				continue
			} else {
				line = stream + " " + text
			}
		case api.FinishTaskEvent:
			line = fmt.Sprintf("%s exit %d", e.Origin.ID, e.ExitStatus)
		case api.ErrorEvent:
			line = e.Origin.ID + " error " + e.Message
		case api.WaitingEvent:
			line = fmt.Sprintf("waiting %d", e.Ahead)
		case api.CauseEvent:
			if e.Code == api.CauseAborted || e.Code == api.CauseTimeout {
				continue // see TestWhatInterruptsATaskIsTold
			}
			line = e.Origin.ID + " cause " + e.Code
		case api.StepUsage, api.SystemUsage:
			continue // see TestUsageOfATask
		default:
			t.Fatalf("an event of the kind %s", event.Kind)
		}
		lines, last = append(lines, line), stream
	}
	return strings.Join(lines, "\n")
}

// only gives the lines that have one of the words.
func only(text string, words ...string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if slices.ContainsFunc(words, func(word string) bool { return strings.Contains(line, word) }) {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	return strings.Join(lines, "\n")
}

func checkText(t *testing.T, got, want string) {
	t.Helper()
	want = strings.TrimSpace(want)
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// script is the plan of a task that runs a shell script; more is added to its config.
func script(id, text string, more ...string) string {
	config := append([]string{fmt.Sprintf(`"platform":"linux","run":{"path":"/bin/sh","args":["-ec",%q]}`, text)}, more...)
	return fmt.Sprintf(`{"id":%q,"task":{"name":"one-off","tty":false,"config":{%s}}}`, id, strings.Join(config, ","))
}

// newPool gives a pool of workers.
func newPool(t testing.TB, workers ...runtime.Worker) *runtime.Pool {
	t.Helper()
	pool, err := runtime.NewPool(t.Context(), runtime.PoolOptions{Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	return pool
}

// shelf keeps artifacts in the volumes of a worker of its own.
type shelf struct {
	worker *runtimetest.Worker
	mu     sync.Mutex
	teams  map[string]bool // "team digest" for each that a team has
}

func newShelf() *shelf {
	return &shelf{worker: runtimetest.NewWorker(runtimetest.Config{Name: "shelf"}), teams: make(map[string]bool)}
}

func (s *shelf) Open(ctx context.Context, team, digest string) (runtime.Artifact, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.teams[team+" "+digest] {
		return nil, fmt.Errorf("the team %s has no tree %s", team, digest)
	}
	return s.worker.LookupVolume(ctx, digest)
}

func (s *shelf) Ingest(ctx context.Context, team string, artifact runtime.Artifact) (digest string, files, bytes int64, err error) {
	tar, err := artifact.StreamOut(ctx, ".")
	if err != nil {
		return "", 0, 0, err
	}
	content, err := io.ReadAll(tar)
	if err := errors.Join(err, tar.Close()); err != nil {
		return "", 0, 0, err
	}
	sum := sha256.Sum256(content)
	digest = hex.EncodeToString(sum[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	var missing *runtime.NotFoundError
	if _, err := s.worker.LookupVolume(ctx, digest); errors.As(err, &missing) {
		volume, err := s.worker.CreateVolume(ctx, digest)
		if err != nil {
			return "", 0, 0, err
		}
		if err := volume.StreamIn(ctx, ".", strings.NewReader(string(content))); err != nil {
			return "", 0, 0, err
		}
	}
	s.teams[team+" "+digest] = true
	return digest, 1, int64(len(content)), nil
}

// upload keeps a tree with one file, as a client does, and gives the artifact's id.
func (s *server) upload(team, name, content string) int {
	s.t.Helper()
	if _, err := s.options.State.EnsureTeam(s.t.Context(), team); err != nil {
		s.t.Fatal(err)
	}
	artifact := file(s.t, name, content)
	digest, files, bytes, err := s.options.Artifacts.Ingest(s.t.Context(), team, artifact)
	if err != nil {
		s.t.Fatal(err)
	}
	row, err := s.options.State.CreateArtifact(s.t.Context(), team, api.Artifact{CreatedAt: now(), Digest: digest, Files: files, Bytes: bytes})
	if err != nil {
		s.t.Fatal(err)
	}
	return row.ID
}

// kept gives the content of a file in an artifact that a build has kept.
func (s *server) kept(build api.Build, artifact, name string) string {
	s.t.Helper()
	rows, err := s.options.State.BuildArtifacts(s.t.Context(), build.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, row := range rows {
		if row.Name == artifact {
			tree, err := s.options.Artifacts.Open(s.t.Context(), build.TeamName, row.Digest)
			if err != nil {
				s.t.Fatal(err)
			}
			return readFile(s.t, tree, name)
		}
	}
	s.t.Fatalf("the build has kept no %s", artifact)
	return ""
}
