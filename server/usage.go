package server

import (
	"context"
	"encoding/json"
	"net/http"

	"midge/api"
	"midge/server/eventlog"
	"midge/usage"
)

// buildUsage answers with what the steps of a build have used until now.
func (s *Server) buildUsage(w http.ResponseWriter, r *http.Request) {
	build, ok := s.buildOfPath(w, r, viewer)
	if !ok {
		return
	}
	log, err := s.logs.Open(build.ID)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer log.Close()
	used, err := usageInLog(r.Context(), log)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	answer(w, http.StatusOK, used)
}

// usageInLog collects what the events of a log say of usage.
func usageInLog(ctx context.Context, log *eventlog.Log) (api.BuildUsage, error) {
	used := api.BuildUsage{Steps: []api.StepUsage{}}
	reader := log.From(0)
	for next, end := int64(0), log.Next(); next < end; {
		events, err := reader.Next(ctx)
		if err != nil {
			return used, err
		}
		for _, event := range events {
			next = event.ID + 1
			switch event.Kind {
			case api.EventUsage:
				var step api.StepUsage
				if err := json.Unmarshal(event.Data, &step); err != nil {
					return used, err
				}
				used.Add(step)
			case api.EventSystem:
				var system api.SystemUsage
				if err := json.Unmarshal(event.Data, &system); err != nil {
					return used, err
				}
				used.SysUsage = append(used.SysUsage, system.SysUsage...)
			}
		}
	}
	// There is more of a build that took long, or that several servers have run.
	used.SysUsage = usage.Thin(used.SysUsage, usage.SystemSamples)
	return used, nil
}
