package pod

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"midge/agent"
	"midge/agent/pid1"
	"midge/artifacts"
	"midge/runtime"
)

// handler serves the requests of a Client. supervising is the context of what goes on
// when a request has ended.
func (s *server) handler(supervising context.Context) http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, do func(*http.Request) (answer any, err error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			answer, err := do(r)
			if err != nil {
				writeFailure(w, err)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(answer) // one that is gone needs none
		})
	}
	handle("GET /state", func(*http.Request) (any, error) {
		ready, err := s.ready()
		return State{Ready: ready, User: os.Geteuid()}, err
	})
	handle("PUT /config", func(r *http.Request) (any, error) {
		config, err := decode[Config](r.Context(), r.Body)
		if err != nil {
			return nil, fmt.Errorf("decode the container's configuration: %w", err)
		}
		return nil, s.configure(supervising, config)
	})
	handle("POST /stop", func(r *http.Request) (any, error) {
		grace, err := time.ParseDuration(r.FormValue("grace"))
		if err != nil {
			return nil, err
		}
		return nil, s.client.Stop(r.Context(), grace)
	})
	handle("POST /quit", func(*http.Request) (any, error) {
		s.end()
		return nil, nil
	})
	s.handleProcesses(supervising, handle)
	mux.HandleFunc("POST /processes/{id}/output", s.output)
	mux.HandleFunc("GET /volumes/{number}", s.streamOut)
	handle("POST /volumes/{number}", s.streamIn)
	handle("POST /volumes/{number}/offer", s.offer)
	mux.HandleFunc("POST /offers/{digest}"+artifacts.FetchPath, s.offered)
	mux.HandleFunc("GET /files", s.filesOut)
	handle("POST /files", s.filesIn)
	handle("GET /files/list", s.listFiles)
	handle("GET /files/stat", s.statFile)
	return withTime(mux, time.Now)
}

// handleProcesses has the requests served that are about processes. What is logged of the
// task goes on until supervising ends.
func (s *server) handleProcesses(supervising context.Context, handle func(pattern string, do func(*http.Request) (answer any, err error))) {
	handle("POST /processes", func(r *http.Request) (any, error) {
		process, err := decode[agent.Process](r.Context(), r.Body)
		if err != nil {
			return nil, fmt.Errorf("decode a process: %w", err)
		}
		err = s.run(r.Context(), process)
		// One that exists may have been started by a request that was cut.
		exists := (*agent.Error)(nil)
		if process.ID == runtime.TaskProcessID && (err == nil || errors.As(err, &exists) && exists.Kind == agent.ErrorExists) {
			s.logging.Do(func() { go s.logTask(supervising) })
		}
		return nil, err
	})
	handle("GET /processes", func(*http.Request) (any, error) { return s.client.Processes() })
	handle("GET /processes/{id}", func(r *http.Request) (any, error) { return s.client.Process(r.PathValue("id")) })
	handle("GET /processes/{id}/ended", func(r *http.Request) (any, error) { return s.client.Ended(r.PathValue("id")) })
	handle("GET /processes/{id}/exit", func(r *http.Request) (any, error) { return s.client.Wait(r.Context(), r.PathValue("id")) })
	handle("GET /processes/{id}/usage", func(r *http.Request) (any, error) { return s.client.Usage(r.Context(), r.PathValue("id")) })
	handle("POST /processes/{id}/input", s.input)
	handle("POST /processes/{id}/close-stdin", func(r *http.Request) (any, error) {
		return nil, s.client.CloseStdin(r.Context(), r.PathValue("id"))
	})
	handle("POST /processes/{id}/resize", func(r *http.Request) (any, error) {
		size, err := decode[pid1.Size](r.Context(), r.Body)
		if err != nil {
			return nil, fmt.Errorf("decode a size: %w", err)
		}
		return nil, s.client.Resize(r.Context(), r.PathValue("id"), size)
	})
	handle("POST /processes/{id}/signal", func(r *http.Request) (any, error) {
		number, err := signalNumber(r.FormValue("signal"))
		if err != nil {
			return nil, err
		}
		return nil, s.client.Signal(r.Context(), r.PathValue("id"), number)
	})
}

// run starts a process, in a container that was stopped as well.
func (s *server) run(ctx context.Context, process agent.Process) error {
	ready, err := s.ready()
	if err != nil {
		return err
	}
	if !ready {
		return errors.New("the container is not configured yet")
	}
	for lives := 0; ; {
		if lives, err = s.await(ctx, lives); err != nil {
			return err
		}
		err = s.client.Run(ctx, process)
		if e := (*agent.Error)(nil); !errors.Is(err, agent.ErrDown) && !(errors.As(err, &e) && e.Kind == agent.ErrorGone) {
			return err
		}
	}
}

// maxInput is how many bytes of input a request may carry.
const maxInput = 16 << 20

func (s *server) input(r *http.Request) (any, error) {
	from, err := strconv.ParseInt(r.FormValue("offset"), 10, 64)
	if err != nil {
		return nil, err
	}
	if from < 0 {
		return nil, &agent.Error{Kind: agent.ErrorSpec, Message: "input at a negative offset"}
	}
	data, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxInput))
	if err != nil {
		return nil, err
	}
	taken, err := s.client.Write(r.Context(), r.PathValue("id"), from, data)
	return offset{Offset: taken}, err
}
