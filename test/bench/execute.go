package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

func benchStart(ctx context.Context, b *bench) error {
	ours, theirs, err := interleave(30,
		func() (time.Duration, error) { return timed(b.midge(ctx, "version")) },
		func() (time.Duration, error) { return timed(exec.CommandContext(ctx, "/bin/true")) })
	if err != nil {
		return err
	}
	b.compare("CLI start (`midge version`)", ours, "`true`", theirs, "<= 10 ms")
	return nil
}

func benchExecute(ctx context.Context, b *bench) error {
	task, err := b.writeTask("true", "exit 0", map[string]any{
		"inputs":  []any{map[string]any{"name": "in"}},
		"outputs": []any{map[string]any{"name": "out"}},
	})
	if err != nil {
		return err
	}
	input := filepath.Join(b.dir, "in")
	if err := os.MkdirAll(input, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(input, "file"), []byte("small\n"), 0o644); err != nil {
		return err
	}
	bundle, err := b.makeBundle()
	if err != nil {
		return err
	}
	output := filepath.Join(b.dir, "out")
	ours, theirs, err := interleave(25,
		func() (time.Duration, error) {
			return timed(b.midge(ctx, "execute", "-c", task, "-i", "in="+input, "-o", "out="+output))
		},
		func() (time.Duration, error) { return timed(runcRun(ctx, bundle, "bench-true")) })
	if err != nil {
		return err
	}
	b.compare("`execute` of `true`, one small input and output, p50", ours, "`runc run` of `true`", theirs, "<= 3 x")
	return nil
}

// makeBundle makes an OCI bundle of the bench's rootfs that runs true, with what runc spec gives.
func (b *bench) makeBundle() (string, error) {
	bundle := filepath.Join(b.dir, "bundle")
	if err := os.MkdirAll(bundle, 0o755); err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(bundle, "config.json")); err == nil {
		return bundle, nil
	}
	spec := exec.Command("runc", "spec")
	spec.Dir = bundle
	if out, err := spec.CombinedOutput(); err != nil {
		return "", fmt.Errorf("runc spec: %w: %s", err, out)
	}
	path := filepath.Join(bundle, "config.json")
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var config map[string]any
	if err := json.Unmarshal(text, &config); err != nil {
		return "", err
	}
	process := config["process"].(map[string]any)
	process["terminal"] = false
	process["args"] = []string{"/bin/true"}
	delete(process, "rlimits")
	config["root"] = map[string]any{"path": filepath.Join(b.dir, "rootfs"), "readonly": true}
	if text, err = json.Marshal(config); err != nil {
		return "", err
	}
	return bundle, os.WriteFile(path, text, 0o644)
}

func runcRun(ctx context.Context, bundle, id string) *exec.Cmd {
	return exec.CommandContext(ctx, "runc", "run", "--bundle", bundle, id)
}

func benchLog(ctx context.Context, b *bench) error {
	const lines = 1_000_000
	// The machine's own seq, as busybox's takes longer to count than all of the way from
	// there to the terminal.
	task, err := b.writeTask("log", fmt.Sprintf("seq %d", lines), map[string]any{"rootfs_uri": ""})
	if err != nil {
		return err
	}
	var want bytes.Buffer
	for i := 1; i <= lines; i++ {
		fmt.Fprintln(&want, i)
	}
	ours, theirs, err := interleave(3,
		func() (time.Duration, error) {
			var got bytes.Buffer
			cmd := b.midge(ctx, "execute", "-c", task)
			cmd.Stdout = &got
			took, err := timed(cmd)
			if err == nil && !bytes.Equal(got.Bytes(), want.Bytes()) {
				err = fmt.Errorf("the log has %d bytes, not the %d that seq wrote", got.Len(), want.Len())
			}
			return took, err
		},
		func() (time.Duration, error) {
			file, err := os.Create(filepath.Join(b.dir, "seq"))
			if err != nil {
				return 0, err
			}
			defer file.Close()
			cmd := exec.CommandContext(ctx, "seq", fmt.Sprint(lines))
			cmd.Stdout = file
			return timed(cmd)
		})
	if err != nil {
		return err
	}
	b.compare("log of 1 M lines, task to terminal", ours, "`seq 1000000 > file`", theirs, "<= 0.5 s")
	return nil
}

func benchLoad(ctx context.Context, b *bench) error {
	const executes = 200
	task, err := b.writeTask("load", "exit 0", nil)
	if err != nil {
		return err
	}
	bundle, err := b.makeBundle()
	if err != nil {
		return err
	}
	theirs, err := atOnce(executes, 2, func(i int) error {
		_, err := timed(runcRun(ctx, bundle, fmt.Sprintf("bench-load-%d", i)))
		return err
	})
	if err != nil {
		return err
	}
	var lost atomic.Int64
	ours, err := atOnce(executes, executes, func(int) error {
		if _, err := timed(b.midge(ctx, "execute", "-c", task)); err != nil {
			lost.Add(1)
			return err
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%d of %d executes were lost: %w", lost.Load(), executes, err)
	}
	b.add(row{
		what:   "200 executes at once",
		midge:  fmt.Sprintf("%.1f a second, none lost", executes/ours.Seconds()),
		beside: fmt.Sprintf("200 x `runc run`, 2 at a time: %.1f a second", executes/theirs.Seconds()),
		ratio:  fmt.Sprintf("%.2f of its throughput", theirs.Seconds()/ours.Seconds()),
		budget: ">= 1/3",
	})
	return nil
}

// atOnce calls do n times, at most limit at a time, and says how long all took; it gives the first error.
func atOnce(n, limit int, do func(i int) error) (time.Duration, error) {
	var (
		group sync.WaitGroup
		once  sync.Once
		first error
		slots = make(chan struct{}, limit)
	)
	start := time.Now()
	for i := range n {
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := do(i); err != nil {
				once.Do(func() { first = err })
			}
		})
	}
	group.Wait()
	return time.Since(start), first
}
