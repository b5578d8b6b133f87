package server

import (
	"net/http"

	"midge/api"
)

// info tells anybody what this server is.
func (s *Server) info(w http.ResponseWriter, r *http.Request) {
	answer(w, http.StatusOK, api.Info{
		Version:       s.config.ConcourseVersion,
		WorkerVersion: workerVersion,
		FeatureFlags: map[string]bool{
			"build_rerun":            false,
			"cache_streamed_volumes": false,
			"global_resources":       false,
			"resource_causality":     false,
		},
		ExternalURL: s.externalURL(r),
		ClusterName: s.config.ClusterName,
		Midge:       &api.MidgeInfo{Version: api.Version, Features: s.features},
	})
}

// workerVersion is that of the workers of ConcourseVersion's Concourse.
const workerVersion = "3.0"

// externalURL is where users find the server: what the configuration says, else where
// this request has found it.
func (s *Server) externalURL(r *http.Request) string {
	if s.config.ExternalURL != "" || bySocket(r) {
		return s.URL()
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}
