package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// benchCompletion completes a build's number, which a server knows: one that answers, and
// one that takes connections and never answers.
func benchCompletion(ctx context.Context, b *bench) error {
	silent, err := net.Listen("unix", filepath.Join(b.dir, "silent.sock"))
	if err != nil {
		return err
	}
	defer silent.Close()
	complete := func(target string) func() (time.Duration, error) {
		return func() (time.Duration, error) {
			// What a server said is remembered for seconds, in a directory of its own here.
			cache, err := os.MkdirTemp(b.dir, "cache")
			if err != nil {
				return 0, err
			}
			cmd := exec.CommandContext(ctx, filepath.Join(b.binaries, "midge"), "-t", target, "__complete", "watch", "-b", "")
			cmd.Env = append(os.Environ(), "HOME="+b.dir, "XDG_CACHE_HOME="+cache)
			return timed(cmd)
		}
	}
	ours, theirs, err := interleave(20, complete("unix://"+silent.Addr().String()), complete(b.target))
	if err != nil {
		return err
	}
	b.add(row{
		what:   "a completion that a server never answers, p50",
		midge:  fmt.Sprintf("%.0f ms", ours.Seconds()*1e3),
		beside: fmt.Sprintf("of one that does: %.0f ms", theirs.Seconds()*1e3),
		ratio:  fmt.Sprintf("%.1f x", ours.Seconds()/theirs.Seconds()),
		budget: "<= 100 ms",
	})
	return nil
}
