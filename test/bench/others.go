package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// benchOthers measures what somebody in a container, and somebody who lists builds, have of
// it that others execute two hundred tasks at once, beside the same while nobody does.
func benchOthers(ctx context.Context, b *bench) error {
	const executes = 200
	held, err := b.writeTask("others-held", "exit 1", nil)
	if err != nil {
		return err
	}
	output, err := b.midge(ctx, "execute", "-b", "-c", held, "--hold", "1h").Output()
	if err != nil {
		return fmt.Errorf("execute a task to hijack: %w", err)
	}
	build := strings.TrimSpace(string(output))
	_ = b.midge(ctx, "watch", "-b", build).Run() // the task fails
	terminal, end, err := atTerminal(b.midge(ctx, "hijack", "-b", build, "--", "cat"))
	if err != nil {
		return err
	}
	defer end()
	// What is shown before the first echo is no keystroke's.
	if _, err := echo(terminal); err != nil {
		return err
	}
	task, err := b.writeTask("others", "exit 0", nil)
	if err != nil {
		return err
	}
	idleKeys, idleLists, err := b.disturbed(ctx, terminal, time.After(5*time.Second))
	if err != nil {
		return err
	}
	over := make(chan time.Time)
	var lost error
	go func() {
		defer close(over)
		lost = b.executeElsewhere(ctx, task, executes)
	}()
	keys, lists, err := b.disturbed(ctx, terminal, over)
	<-over
	if err := errors.Join(err, lost); err != nil {
		return fmt.Errorf("while %d tasks are executed: %w", executes, err)
	}
	for _, row := range []struct {
		what        string
		ours, alone []time.Duration
	}{{"a keystroke and its echo", keys, idleKeys}, {"`midge builds`", lists, idleLists}} {
		for _, percent := range []int{50, 99} {
			at := func(sorted []time.Duration) time.Duration { return sorted[len(sorted)*percent/100] }
			b.compare(fmt.Sprintf("%s while 200 are executed at once, p%d", row.what, percent), at(row.ours), "while nothing is", at(row.alone), "")
		}
	}
	return nil
}

// executeElsewhere executes a task n times at once in a session that is not the bench's,
// as the clients of others are.
func (b *bench) executeElsewhere(ctx context.Context, task string, n int) error {
	clients := exec.CommandContext(ctx, "xargs", "-P", strconv.Itoa(n), "-I", "{}", filepath.Join(b.binaries, "midge"), "execute", "-c", task)
	clients.Stdin = strings.NewReader(strings.Repeat("{}\n", n))
	clients.Env = b.midge(ctx).Env
	clients.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if out, err := clients.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// disturbed types keys and lists builds in turn until the end, and gives how long each took,
// sorted.
func (b *bench) disturbed(ctx context.Context, terminal io.ReadWriter, end <-chan time.Time) (keys, lists []time.Duration, err error) {
	for {
		for range 20 {
			key, err := echo(terminal)
			if err != nil {
				return nil, nil, err
			}
			keys = append(keys, key)
		}
		list, err := timed(b.midge(ctx, "builds"))
		if err != nil {
			return nil, nil, err
		}
		lists = append(lists, list)
		select {
		case <-end:
			slices.Sort(keys)
			slices.Sort(lists)
			return keys, lists, nil
		default:
		}
	}
}
