package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"midge/api"
	"midge/server/eventlog"
	"midge/server/state"
	"midge/terminal"
)

// buildPageRoutes are the pages about builds, and what they lead to.
func (s *Server) buildPageRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", s.browsing(s.buildsPage))
	mux.HandleFunc("GET /builds/{build}", s.browsing(s.buildPage))
	mux.HandleFunc("GET /builds/{build}/live", s.withCookie(s.loggedIn(s.whileTokenLasts(s.liveBuild))))
	mux.HandleFunc("GET /builds/{build}/log", s.withCookie(s.loggedIn(s.wholeLog)))
	mux.HandleFunc("GET /builds/{build}/artifacts/{artifact}", s.withCookie(s.loggedIn(patient(s.downloadArtifact))))
}

// buildsPage lists builds, newest first.
type buildsPage struct {
	frame
	Builds []api.Build
	Older  int // id of the newest that is not shown, 0 for none
}

func (s *Server) buildsPage(w http.ResponseWriter, r *http.Request) {
	// What is no number is as if it were not there.
	to, _ := strconv.Atoi(r.URL.Query().Get("to"))
	builds, err := s.database.Builds(r.Context(), state.BuildFilter{Teams: requester(r).teams(), To: max(to, 0), Limit: defaultPage})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	page := buildsPage{frame: frameFor(r, "Builds"), Builds: builds}
	if len(builds) == defaultPage {
		page.Older = builds[len(builds)-1].ID - 1
	}
	s.sendPage(w, r, http.StatusOK, "builds", page.Nonce, page)
}

// buildPage shows a build, as it was when Log ended before event Next.
type buildPage struct {
	frame
	buildState
	Log     template.HTML
	Omitted bool // the log begins before Log does
	Next    int64
}

// maxPageLog bounds the part of a log that a page has, in bytes of HTML. It is the
// end of the log.
const maxPageLog = 1 << 20

func (s *Server) buildPage(w http.ResponseWriter, r *http.Request) {
	record, err := s.shownBuild(r)
	if missing := (*state.NotFoundError)(nil); errors.As(err, &missing) {
		s.sendMessage(w, r, http.StatusNotFound, "There is no such build", "Or it is one of a team that you are not in.")
		return
	}
	var page *buildPage
	if err == nil {
		page, err = s.makeBuildPage(r, record)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.sendPage(w, r, http.StatusOK, "build", page.Nonce, page)
}

// shownBuild gives the build of the path, or a *state.NotFoundError when the user is
// not in its team or there is none.
func (s *Server) shownBuild(r *http.Request) (state.BuildRecord, error) {
	text := r.PathValue("build")
	missing := &state.NotFoundError{Kind: "build", Name: text}
	id, err := strconv.Atoi(text)
	if err != nil {
		return state.BuildRecord{}, missing
	}
	record, err := s.database.Build(r.Context(), id)
	if err == nil && requester(r).in(record.TeamName) < viewer {
		err = missing
	}
	return record, err
}

func (s *Server) makeBuildPage(r *http.Request, record state.BuildRecord) (*buildPage, error) {
	page := &buildPage{frame: frameFor(r, fmt.Sprintf("Build %d", record.ID))}
	log, err := s.logs.Open(record.ID)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	end := log.Next()
	reader, rendered := log.From(0), newLogHTML(&record.Plan)
	// The end of the log is in these two, older having at least maxPageLog or all of it.
	var older, newer bytes.Buffer
	for page.Next < end {
		events, err := reader.Next(r.Context())
		if err != nil {
			return nil, err
		}
		for _, event := range events {
			// Between two events no span is open.
			if newer.Len() > maxPageLog {
				page.Omitted = page.Omitted || older.Len() > 0
				older, newer = newer, older
				newer.Reset()
			}
			if err := rendered.write(&newer, event); err != nil {
				return nil, err
			}
			page.Next = event.ID + 1
		}
	}
	page.Log = template.HTML(older.String() + newer.String())
	page.buildState, err = s.stateOfBuild(r, record.ID)
	return page, err
}

// buildState is what a page says about a build besides its log.
type buildState struct {
	Build     api.Build
	Steps     []shownStep
	Artifacts []api.Artifact
	// Download tells whether the user may have the artifacts.
	Download bool
	// Hijack are the commands that lead into the containers that are there, for a
	// user who may go into them.
	Hijack []string
}

// shownStep is a step as a page shows it.
type shownStep struct {
	Kind, Name string
	State      string
	Took       string
	Message    string
}

func (s *Server) stateOfBuild(r *http.Request, id int) (shown buildState, err error) {
	ctx := r.Context()
	record, err := s.database.Build(ctx, id)
	if err != nil {
		return shown, err
	}
	shown.Build = record.Build
	if shown.Artifacts, err = s.database.BuildArtifacts(ctx, id); err != nil {
		return shown, err
	}
	steps, err := s.database.Steps(ctx, id)
	if err != nil {
		return shown, err
	}
	shown.Steps = shownSteps(&record.Plan, steps)
	if shown.Download = requester(r).in(record.TeamName) >= member; !shown.Download {
		return shown, nil
	}
	containers, err := s.database.Containers(ctx, state.ContainerFilter{BuildID: id})
	for _, container := range containers {
		if container.State != "destroying" {
			shown.Hijack = append(shown.Hijack, fmt.Sprintf("midge hijack -b %d -s %s", id, terminal.ShellWord(container.StepName)))
		}
	}
	return shown, err
}

// shownSteps gives the steps of a plan that do something, in the plan's order, with
// what has become of their latest attempt.
func shownSteps(plan *api.Plan, steps []state.Step) []shownStep {
	latest := map[string]state.Step{}
	for _, step := range steps {
		if step.Attempt >= latest[step.PlanID].Attempt {
			latest[step.PlanID] = step
		}
	}
	var shown []shownStep
	for part := range plan.All() {
		step := shownStep{State: "pending"}
		switch {
		case part.Task != nil:
			step.Kind, step.Name = "task", part.Task.Name
		case part.ArtifactInput != nil:
			step.Kind, step.Name = "input", part.ArtifactInput.Name
		case part.ArtifactOutput != nil:
			step.Kind, step.Name = "output", part.ArtifactOutput.Name
		default:
			continue
		}
		if known, ok := latest[part.ID]; ok {
			step.State, step.Message = string(known.State), known.Message
			if !known.EndedAt.IsZero() {
				step.Took = known.EndedAt.Sub(known.StartedAt).Round(time.Millisecond).String()
			}
		}
		shown = append(shown, step)
	}
	return shown
}

// liveBuild streams what is to be added to the page of a build: pieces of the log,
// from the event on that the query names, and its state when that changes. Each is
// HTML in a JSON string.
func (s *Server) liveBuild(w http.ResponseWriter, r *http.Request) {
	record, ok := s.buildOfPath(w, r, viewer)
	if !ok {
		return
	}
	// What is no number is the beginning. A browser that comes back says what it has.
	from, _ := strconv.ParseInt(r.URL.Query().Get("from"), 10, 64)
	if last, err := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64); err == nil {
		from = last + 1
	}
	log, err := s.logs.Open(record.ID)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer log.Close()
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("X-Accel-Buffering", "no")
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.streams, cancel)()
	live := &livePage{
		eventStream: newEventStream(w, log, 0, true),
		from:        from,
		log:         newLogHTML(&record.Plan),
		state:       func() (buildState, error) { return s.stateOfBuild(r, record.ID) },
	}
	if err := live.run(ctx); err != nil && ctx.Err() == nil {
		s.log.WarnContext(r.Context(), "following a build on a page ended", "build", record.ID, "error", err)
	}
}

// livePage follows a build for a page. It reads the log from its beginning, as the
// look of what comes depends on what was before.
type livePage struct {
	*eventStream
	from  int64
	log   *logHTML
	state func() (buildState, error)
}

func (l *livePage) run(ctx context.Context) error {
	for {
		l.begin()
		if err := l.flush(); err != nil {
			return err
		}
		events, err := l.wait(ctx)
		l.begin()
		switch {
		case errors.Is(err, io.EOF):
			return errors.Join(l.sendState(), l.end())
		case err != nil:
			return err
		}
		if err := l.add(events); err != nil {
			return err
		}
	}
}

// add sends what events add to the page.
func (l *livePage) add(events []eventlog.Event) error {
	var html bytes.Buffer
	changed := false
	for _, event := range events {
		if event.ID == l.from {
			html.Reset() // the page has what was before
		}
		if err := l.log.write(&html, event); err != nil {
			return err
		}
		changed = changed || event.Kind != api.EventLog
		l.next = event.ID + 1
	}
	if l.next <= l.from {
		return nil
	}
	if html.Len() > 0 {
		if err := l.send("log", html.String()); err != nil {
			return err
		}
	}
	if changed {
		return l.sendState()
	}
	return nil
}

func (l *livePage) sendState() error {
	current, err := l.state()
	if err != nil {
		return err
	}
	var html bytes.Buffer
	if err := pageTemplates.ExecuteTemplate(&html, "state", current); err != nil {
		return err
	}
	return l.send("state", html.String())
}

func (l *livePage) send(event, html string) error {
	data, err := json.Marshal(html)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(l.writer, "id: %d\nevent: %s\ndata: %s\n\n", l.next-1, event, data)
	return err
}

// wholeLog gives all that the tasks of a build have written so far, as they wrote it.
func (s *Server) wholeLog(w http.ResponseWriter, r *http.Request) {
	record, ok := s.buildOfPath(w, r, viewer)
	if !ok {
		return
	}
	log, err := s.logs.Open(record.ID)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer log.Close()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	reader, body := log.From(0), &patientWriter{w, http.NewResponseController(w)}
	for next, end := int64(0), log.Next(); next < end; {
		events, err := reader.Next(r.Context())
		if err != nil {
			// Half a log must not look like a whole one.
			panic(http.ErrAbortHandler)
		}
		for _, event := range events {
			next = event.ID + 1
			if event.Kind != api.EventLog {
				continue
			}
			var output api.LogEvent
			if err := json.Unmarshal(event.Data, &output); err != nil {
				panic(http.ErrAbortHandler)
			}
			if _, err := body.Write(output.Output()); err != nil {
				return
			}
		}
	}
}

// downloadArtifact sends an artifact of the build of the path as a file.
func (s *Server) downloadArtifact(w http.ResponseWriter, r *http.Request) {
	record, ok := s.buildOfPath(w, r, member)
	if !ok {
		return
	}
	r.SetPathValue("team", record.TeamName)
	artifact, ok := s.artifactOfPath(w, r)
	if !ok {
		return
	}
	if artifact.BuildID != record.ID {
		notFound(w, "artifact %d of build %d", artifact.ID, record.ID)
		return
	}
	// The whole of it, by gzip: a browser would take an archive by zstd for one of those.
	r.URL.RawQuery = ""
	r.Header.Del("Accept-Encoding")
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": artifact.Name + ".tgz"}))
	s.sendArtifact(w, r, artifact)
}
