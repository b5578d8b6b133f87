package kubernetes

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A pod that starts is tried at a few times, until it is reached.
func TestReachSoon(t *testing.T) {
	for name, test := range map[string]struct {
		reachedAt int // which try, from 1
		tries     []time.Duration
	}{
		"at once": {1, []time.Duration{150 * time.Millisecond}},
		"later":   {3, []time.Duration{150 * time.Millisecond, 450 * time.Millisecond, 1050 * time.Millisecond}},
		"never": {0, []time.Duration{
			150 * time.Millisecond, 450 * time.Millisecond, 1050 * time.Millisecond, 2250 * time.Millisecond,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				var tries []time.Duration
				ctx, reaching := reachSoon(t.Context(), func(context.Context) bool {
					tries = append(tries, time.Since(begun))
					return len(tries) == test.reachedAt
				})
				reaching.begin(ctx)
				reaching.begin(ctx)
				<-reaching.ended
				if isReached(ctx) != (test.reachedAt > 0) || !slices.Equal(tries, test.tries) {
					t.Errorf("it was tried after %v, and the context has ended with %v", tries, context.Cause(ctx))
				}
				reaching.stop()
				if ctx.Err() == nil || isReached(ctx) != (test.reachedAt > 0) {
					t.Errorf("after stop the context has ended with %v", context.Cause(ctx))
				}
			})
		})
	}
}

// What is stopped tries no more, and what was not begun never did.
func TestReachSoonStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, reaching := reachSoon(t.Context(), func(ctx context.Context) bool {
			<-ctx.Done()
			return false
		})
		reaching.begin(ctx)
		time.Sleep(time.Second)
		reaching.stop()
		_, reaching = reachSoon(t.Context(), func(context.Context) bool { panic("tried") })
		reaching.stop()
	})
}
