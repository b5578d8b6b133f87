package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"midge/api"
	"midge/runtime"
	"midge/server/state"
)

const (
	// defaultCollectInterval is how often what is no longer needed is looked for.
	defaultCollectInterval = 30 * time.Second
	// slowCollection is how much rarer that is done which reads more than it frees.
	slowCollection = 20
)

// collection is a loop that removes what nobody can use any more.
type collection struct {
	part    string
	collect func(ctx context.Context) (partValues, error)
}

// collections are those of the server itself; that of containers is the engine's.
func (s *Server) collections() []collection {
	return []collection{
		{partArtifactCollection, s.collectArtifacts},
		{partBuildCollection, s.collectBuilds},
		{partLeftoverCollection, s.collectLeftovers},
		{partTokenCollection, s.collectTokens},
		{partVolumeCollection, s.collectVolumes},
	}
}

// startCollections begins all loops, which end with the streams. What a server that
// was started just now finds it needs for other things than this.
func (s *Server) startCollections() {
	period := slowCollection * s.config.CollectInterval
	for _, c := range s.collections() {
		s.parts.expect(c.part, period)
		s.background.Go(func() {
			select {
			case <-time.After(min(period, s.config.CollectInterval)):
			case <-s.streams.Done():
				return
			}
			s.parts.watch(s.streams, c.part, period, func(ctx context.Context) (partValues, error) {
				values, err := c.collect(ctx)
				if err != nil && ctx.Err() == nil {
					s.log.ErrorContext(ctx, "what is no longer of use cannot be removed", "part", c.part, "error", err)
				}
				return values, err
			})
		})
	}
}

// collectTokens removes expired tokens.
func (s *Server) collectTokens(ctx context.Context) (partValues, error) {
	if err := s.tokens.forgetExpired(ctx); err != nil {
		return nil, fmt.Errorf("remove expired tokens: %w", err)
	}
	return nil, nil
}

// collectArtifacts removes expired artifacts, and contents that no artifact is made of.
// It goes on after an error and gives all of them.
func (s *Server) collectArtifacts(ctx context.Context) (partValues, error) {
	if !s.collecting.TryRLock() {
		return nil, nil // a backup is being made
	}
	defer s.collecting.RUnlock()
	expired, err := 0, error(nil)
	if ttl := s.config.ArtifactTTL; ttl > 0 {
		if expired, err = s.database.ExpireArtifacts(ctx, time.Now().Add(-ttl), s.outlived()); err != nil {
			err = fmt.Errorf("forget expired artifacts: %w", err)
		}
	}
	collected, collectErr := s.artifacts.Collect(ctx, s.database.ArtifactDigests)
	if collectErr != nil {
		collectErr = fmt.Errorf("remove contents that no artifact needs: %w", collectErr)
	} else if collected.Lost > 0 {
		collectErr = &finding{api.VerdictCritical, fmt.Sprintf("%d objects that artifacts are made of are lost", collected.Lost)}
	}
	return partValues{
		"expired_artifacts": float64(expired),
		"max_age_seconds":   s.config.ArtifactTTL.Seconds(),
		"freed_bytes":       float64(collected.Freed),
		"live_objects":      float64(collected.Live),
		"lost_objects":      float64(collected.Lost),
	}, errors.Join(err, collectErr)
}

// outlived is when a build must have finished for its grace to be over.
func (s *Server) outlived() time.Time { return time.Now().Add(-s.config.BuildGrace) }

// collectBuilds removes builds beyond those that are kept, and the logs and spans of
// builds that are gone, also those that a crash has left or that came late.
func (s *Server) collectBuilds(ctx context.Context) (partValues, error) {
	if !s.collecting.TryRLock() {
		return nil, nil // a backup is being made
	}
	defer s.collecting.RUnlock()
	removed := 0
	if s.config.KeepBuilds > 0 {
		var err error
		if removed, err = s.database.RemoveBuilds(ctx, s.config.KeepBuilds, s.outlived()); err != nil {
			return nil, fmt.Errorf("remove builds that are not to be kept: %w", err)
		}
	}
	ids, err := s.database.BuildIDs(ctx)
	if err != nil {
		return nil, err
	}
	// Ids only grow: a build with a higher one was made since.
	gone := func(build int) bool {
		_, there := slices.BinarySearch(ids, build)
		return !there && len(ids) > 0 && build < ids[len(ids)-1]
	}
	logs, err := s.removeLogs(gone)
	if err != nil {
		err = fmt.Errorf("remove the logs of builds that are gone: %w", err)
	}
	traces := 0
	if s.traces != nil {
		var traceErr error
		if traces, traceErr = s.traces.RemoveBuilds(gone); traceErr != nil {
			err = errors.Join(err, fmt.Errorf("remove the traces of builds that are gone: %w", traceErr))
		}
	}
	return partValues{
		"builds":         float64(len(ids)),
		"removed_builds": float64(removed),
		"removed_logs":   float64(logs),
		"removed_traces": float64(traces),
		"max_builds":     float64(s.config.KeepBuilds),
	}, err
}

// removeLogs removes the event logs of builds that are gone, and says how many those were.
func (s *Server) removeLogs(gone func(build int) bool) (int, error) {
	builds, err := s.logs.Builds()
	if err != nil {
		return 0, err
	}
	removed := 0
	var errs []error
	for _, build := range builds {
		if !gone(build) {
			continue
		}
		if err := s.logs.Remove(build); err != nil {
			errs = append(errs, err)
			continue
		}
		removed++
	}
	return removed, errors.Join(errs...)
}

// leftoverRemover is a worker that finds what containers have left that are gone,
// after it or its machine has failed half way.
type leftoverRemover interface {
	// RemoveLeftovers removes it and says how many things it was.
	RemoveLeftovers(ctx context.Context) (int, error)
}

func (s *Server) collectLeftovers(ctx context.Context) (partValues, error) {
	removed := 0
	var errs []error
	for _, worker := range s.pool.Workers() {
		remover, ok := worker.(leftoverRemover)
		if !ok {
			continue
		}
		n, err := remover.RemoveLeftovers(ctx)
		removed += n
		if err != nil {
			errs = append(errs, fmt.Errorf("remove what is left of containers on worker %s: %w", worker.Name(), err))
		}
	}
	return partValues{"removed": float64(removed)}, errors.Join(errs...)
}

// collectVolumes removes volumes of containers that are gone.
func (s *Server) collectVolumes(ctx context.Context) (partValues, error) {
	there, removed := 0, 0
	var errs []error
	for _, worker := range s.pool.Workers() {
		volumes, n, err := s.removeOrphans(ctx, worker)
		there, removed = there+volumes, removed+n
		if err != nil {
			errs = append(errs, fmt.Errorf("remove volumes of worker %s that nobody needs: %w", worker.Name(), err))
		}
	}
	return partValues{"volumes": float64(there), "removed_volumes": float64(removed)}, errors.Join(errs...)
}

// removeOrphans removes the volumes whose container is gone, and says how many volumes
// there are and how many of them were removed.
func (s *Server) removeOrphans(ctx context.Context, worker runtime.Worker) (there, removed int, err error) {
	volumes, err := worker.Volumes(ctx)
	if err != nil {
		return 0, 0, err
	}
	owned, err := s.containersOf(ctx, worker)
	if err != nil {
		return 0, 0, err
	}
	var errs []error
	for _, volume := range volumes {
		if volume.ContainerHandle == "" || owned[volume.ContainerHandle] {
			continue
		}
		found, err := worker.LookupVolume(ctx, volume.Handle)
		if missing := (*runtime.NotFoundError)(nil); errors.As(err, &missing) {
			continue
		}
		if err == nil {
			err = found.Destroy(ctx)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		removed++
	}
	return len(volumes) - removed, removed, errors.Join(errs...)
}

// containersOf gives the containers that volumes listed before may be of: those that are
// on the worker, and those with a row. One that a killed server has half made is not on the
// worker for a moment while it is made anew, and its new volumes are called as the old ones
// were; but its row is there from before it was made first until it is gone.
func (s *Server) containersOf(ctx context.Context, worker runtime.Worker) (map[string]bool, error) {
	handles, err := worker.Containers(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := s.database.Containers(ctx, state.ContainerFilter{Worker: worker.Name()})
	if err != nil {
		return nil, err
	}
	owned := make(map[string]bool, len(handles)+len(rows))
	for _, handle := range handles {
		owned[handle] = true
	}
	for _, row := range rows {
		owned[row.Handle] = true
	}
	return owned, nil
}
