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

// benchSampling says what the sampling of containers costs in the minute after they
// have started, when it is at its most frequent. What their supervisors do else, like
// answering the server, is what they do later, between two samples.
func benchSampling(ctx context.Context, b *bench) error {
	const (
		containers = 100
		early      = time.Minute
		pause      = 15 * time.Second // past the samples that those take after 62 seconds
		late       = 40 * time.Second // which ends before those after 126 seconds
	)
	task, err := b.writeTask("sampled", "sleep 1000", nil)
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
	sampling, err := cpuTimeDuring(ctx, supervisors, early)
	if err != nil {
		return err
	}
	if err := sleep(ctx, pause); err != nil {
		return err
	}
	rest, err := cpuTimeDuring(ctx, supervisors, late)
	if err != nil {
		return err
	}
	sampling -= time.Duration(float64(rest) * early.Seconds() / late.Seconds())
	b.add(row{
		what:   fmt.Sprintf("sampling of %d containers", containers),
		midge:  fmt.Sprintf("%s of cpu in %s", format(sampling), format(early)),
		beside: "one core",
		ratio:  fmt.Sprintf("%.2f %%", 100*sampling.Seconds()/early.Seconds()),
		budget: "<= 0.5 %",
	})
	// What is measured next is not to run beside them.
	return b.abortAll(ctx)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cpuTimeDuring says how long processes are on a cpu from now on for a while.
func cpuTimeDuring(ctx context.Context, processes []string, d time.Duration) (time.Duration, error) {
	before, err := cpuTimeOf(processes)
	if err != nil {
		return 0, err
	}
	if err := sleep(ctx, d); err != nil {
		return 0, err
	}
	after, err := cpuTimeOf(processes)
	return after - before, err
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

// awaitSupervisors waits until tasks run in the containers and gives the processes that
// watch them.
func (b *bench) awaitSupervisors(ctx context.Context, containers int) ([]string, error) {
	for {
		active, err := b.activeTasks(ctx)
		if err != nil {
			return nil, err
		}
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
		if active >= containers {
			return found, nil
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return nil, fmt.Errorf("%d of %d tasks run: %w", active, containers, err)
		}
	}
}

// activeTasks is how many tasks run on the server.
func (b *bench) activeTasks(ctx context.Context) (int, error) {
	list := b.midge(ctx, "workers", "--json")
	text, err := list.Output()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", list, err)
	}
	var workers []api.Worker
	if err := json.Unmarshal(text, &workers); err != nil {
		return 0, fmt.Errorf("%s: %w", list, err)
	}
	active := 0
	for _, worker := range workers {
		active += worker.ActiveTasks
	}
	return active, nil
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
