package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"midge/api"
)

// benchTrace says what an execute costs more with --trace, the fetching of the server's
// spans and the picture included.
func benchTrace(ctx context.Context, b *bench) error {
	task, err := b.writeTask("traced", "exit 0", nil)
	if err != nil {
		return err
	}
	traced, plain, err := interleave(60,
		func() (time.Duration, error) {
			cmd := b.midge(ctx, "execute", "-c", task, "--trace")
			cmd.Stderr = new(bytes.Buffer)
			return timed(cmd)
		},
		func() (time.Duration, error) { return timed(b.midge(ctx, "execute", "-c", task)) })
	if err != nil {
		return err
	}
	b.compare("`execute --trace` of `true`, p50", traced, "without `--trace`", plain, "<= 1.03 x")
	return nil
}

// benchSampling says what the sampling of containers costs while it is at its most
// frequent: in their first minute. It counts all that their supervisors do meanwhile.
func benchSampling(ctx context.Context, b *bench) error {
	const (
		containers = 100
		watched    = time.Minute
	)
	task, err := b.writeTask("sampled", "sleep 120", nil)
	if err != nil {
		return err
	}
	if _, err := atOnce(containers, 4, func(int) error {
		_, err := timed(b.midge(ctx, "execute", "-c", task, "--background"))
		return err
	}); err != nil {
		return err
	}
	supervisors, err := b.awaitSupervisors(ctx, containers)
	if err != nil {
		return err
	}
	before, err := cpuTimeOf(supervisors)
	if err != nil {
		return err
	}
	select {
	case <-time.After(watched):
	case <-ctx.Done():
		return ctx.Err()
	}
	after, err := cpuTimeOf(supervisors)
	if err != nil {
		return err
	}
	// What comes after it is not to run beside them.
	if err := b.abortAll(ctx); err != nil {
		return err
	}
	b.add(row{
		what:   fmt.Sprintf("sampling of %d containers", containers),
		midge:  fmt.Sprintf("%s of cpu in %s", format(after-before), format(watched)),
		beside: "one core",
		ratio:  fmt.Sprintf("%.2f %%", 100*(after-before).Seconds()/watched.Seconds()),
		budget: "<= 0.5 %",
	})
	return nil
}

// abortAll ends every build that runs.
func (b *bench) abortAll(ctx context.Context) error {
	list := b.midge(ctx, "builds", "--count", "1000", "--json")
	text, err := list.Output()
	if err != nil {
		return fmt.Errorf("%s: %w", list, err)
	}
	var builds []api.Build
	if err := json.Unmarshal(text, &builds); err != nil {
		return fmt.Errorf("%s: %w", list, err)
	}
	for _, build := range builds {
		if build.Status.Finished() {
			continue
		}
		if _, err := timed(b.midge(ctx, "abort-build", "-b", strconv.Itoa(build.ID))); err != nil {
			return err
		}
	}
	return nil
}

// awaitSupervisors waits until the containers run and gives the processes that watch them.
func (b *bench) awaitSupervisors(ctx context.Context, containers int) ([]string, error) {
	for {
		var found []string
		processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil {
			return nil, err
		}
		for _, path := range processes {
			text, err := os.ReadFile(path)
			if err == nil && bytes.Contains(text, []byte("\x00supervise\x00"+b.dir)) {
				found = append(found, filepath.Dir(path))
			}
		}
		if len(found) >= containers {
			return found, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d containers run: %w", len(found), containers, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// cpuTimeOf adds up the time that processes were on a cpu, exactly: the first field of
// each thread's schedstat.
func cpuTimeOf(processes []string) (time.Duration, error) {
	total := time.Duration(0)
	for _, process := range processes {
		threads, err := filepath.Glob(process + "/task/*/schedstat")
		if err != nil {
			return 0, err
		}
		for _, path := range threads {
			text, err := os.ReadFile(path)
			if err != nil {
				continue // a thread that has ended
			}
			onCPU, _, _ := strings.Cut(string(text), " ")
			nanoseconds, err := strconv.ParseInt(onCPU, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("parse %s: %w", path, err)
			}
			total += time.Duration(nanoseconds)
		}
	}
	return total, nil
}
