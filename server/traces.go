package server

import (
	"context"
	"errors"
	"net/http"
	"time"

	"midge/api"
	"midge/server/state"
	"midge/trace"
)

// traceStopTimeout is how long the last spans may take to be exported when the server ends.
const traceStopTimeout = 5 * time.Second

// openTraces begins to keep the spans of this process, if any are recorded.
func (s *Server) openTraces() error {
	if s.config.Record == nil {
		return nil
	}
	dir, err := s.dir.subdirectory(tracesDir)
	if err != nil {
		return err
	}
	store, err := trace.OpenStore(dir, s.log)
	if err != nil {
		return err
	}
	s.onClose(store.Close)
	stop, err := s.config.Record(store.Begin, store.Keep)
	if err != nil {
		return err
	}
	s.onClose(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), traceStopTimeout)
		defer cancel()
		if err := stop(ctx); err != nil {
			// A collector that is away is no reason for a server to end badly.
			s.log.Warn("the last spans were not exported", "error", err)
		}
		return nil
	})
	s.traces = store
	s.features = append(s.features, api.FeatureTraces)
	return nil
}

// getTrace answers with the spans of a trace.
func (s *Server) getTrace(w http.ResponseWriter, r *http.Request) {
	if s.traces == nil {
		notFound(w, "trace %q", r.PathValue("id"))
		return
	}
	s.traces.Endpoint(s.maySee)(w, r)
}

// maySee reports whether a part of a trace is for the requester: the spans of a build
// for those who may see the build, those of a request for who has sent it.
func (s *Server) maySee(r *http.Request, part trace.Part) (bool, error) {
	who := requester(r)
	if who.admin {
		return true, nil
	}
	if part.Build == 0 {
		return part.User != "" && part.User == who.user(), nil
	}
	build, err := s.database.Build(r.Context(), part.Build)
	if missing := (*state.NotFoundError)(nil); errors.As(err, &missing) {
		return false, nil
	}
	return err == nil && who.in(build.TeamName) >= viewer, err
}
