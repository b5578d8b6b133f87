package main

import (
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// An interrupt that comes twice at once, as timeout sends it, aborts; one that a person
// sends after it leaves.
func TestInterruptTwiceAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals := make(chan os.Signal)
		var heeded []string
		go heedInterrupts(t.Context(), signals,
			func() { heeded = append(heeded, "abort") },
			func() { heeded = append(heeded, "leave") })
		for _, step := range []struct {
			after time.Duration
			want  []string
		}{
			{0, []string{"abort"}},
			{0, []string{"abort"}},
			{sameInterrupt / 2, []string{"abort"}},
			{sameInterrupt / 2, []string{"abort", "leave"}},
		} {
			time.Sleep(step.after)
			signals <- os.Interrupt
			synctest.Wait()
			if !slices.Equal(heeded, step.want) {
				t.Fatalf("heeded %q, want %q", heeded, step.want)
			}
		}
	})
}
