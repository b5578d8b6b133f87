package server

import (
	"context"
	"net/http"
	"path"
	"strings"

	"midge/runtime"
	"midge/server/engine"
)

// clearTaskCache removes the caches of a task of one-off builds, or the one that the
// query names. A pipeline and a job in the path, which fly insists on, do not matter.
func (s *Server) clearTaskCache(w http.ResponseWriter, r *http.Request) {
	prefix := engine.CachePrefix(r.PathValue("team"), r.PathValue("step"))
	removed := 0
	for _, worker := range s.pool.Workers() {
		keys, err := cacheKeys(r.Context(), worker, prefix, r.URL.Query().Get("cache_path"))
		if err != nil {
			s.fail(w, r, err)
			return
		}
		for _, key := range keys {
			n, err := worker.ClearCaches(r.Context(), key)
			if err != nil {
				s.fail(w, r, err)
				return
			}
			removed += n
		}
	}
	answer(w, http.StatusOK, map[string]int{"caches_removed": removed})
}

// cacheKeys gives what the keys of the caches to be removed begin with: those of one
// path, or with no path all that begin with prefix.
func cacheKeys(ctx context.Context, worker runtime.Worker, prefix, cache string) ([]string, error) {
	if cache == "" {
		return []string{prefix}, nil
	}
	volumes, err := worker.Volumes(ctx)
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, volume := range volumes {
		if !strings.HasPrefix(volume.CacheKey, prefix) {
			continue
		}
		if _, _, at, ok := engine.ParseCacheKey(volume.CacheKey); ok && at == path.Clean(cache) {
			keys = append(keys, volume.CacheKey)
		}
	}
	return keys, nil
}
