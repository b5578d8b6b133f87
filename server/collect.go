package server

import (
	"context"
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
		s.collect(ctx)
	}
}

// collect removes expired tokens, and contents of artifacts that none is made of.
func (s *Server) collect(ctx context.Context) {
	if err := s.tokens.forgetExpired(ctx); err != nil && ctx.Err() == nil {
		s.log.ErrorContext(ctx, "expired tokens were not removed", "error", err)
	}
	collected, err := s.artifacts.Collect(ctx, s.database.ArtifactDigests)
	if err != nil && ctx.Err() == nil {
		s.log.ErrorContext(ctx, "contents that no artifact needs were not removed", "error", err)
	}
	s.log.DebugContext(ctx, "collected contents of artifacts", "collected", collected)
}
