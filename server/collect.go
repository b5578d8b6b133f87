package server

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// collectPeriod is how often what nobody can use any more is removed from the state.
const collectPeriod = 10 * time.Minute

// collectUntilEnd removes what is no longer of use until ctx ends.
func (s *Server) collectUntilEnd(ctx context.Context) {
	ticker := time.NewTicker(collectPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		began := time.Now()
		values, err := s.collect(ctx)
		if ctx.Err() != nil {
			return
		}
		s.parts.report(partArtifactCollection, began, values, err)
		if err != nil {
			s.log.ErrorContext(ctx, "what is no longer of use cannot be removed", "error", err)
		}
	}
}

// collect removes expired tokens, and contents of artifacts that none is made of. It
// goes on after an error and gives all of them.
func (s *Server) collect(ctx context.Context) (partValues, error) {
	err := s.tokens.forgetExpired(ctx)
	if err != nil {
		err = fmt.Errorf("remove expired tokens: %w", err)
	}
	collected, collectErr := s.artifacts.Collect(ctx, s.database.ArtifactDigests)
	if collectErr != nil {
		collectErr = fmt.Errorf("remove contents that no artifact needs: %w", collectErr)
	}
	return partValues{
		"freed_bytes":  float64(collected.Freed),
		"live_objects": float64(collected.Live),
		"lost_objects": float64(collected.Lost),
	}, errors.Join(err, collectErr)
}
