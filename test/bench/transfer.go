package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// transfers measures moving trees by content beside tar and rsync on this machine, and
// the memory that it takes.
type transfers struct {
	*bench
	tree     string // a copy of GOROOT
	mirror   string // rsync's copy of that
	peak     int64  // of the CLI's memory in all of it, in bytes
	baseline int64  // the server's memory before
}

func benchTransfer(ctx context.Context, b *bench) error {
	t := &transfers{bench: b, tree: filepath.Join(b.dir, "goroot"), mirror: filepath.Join(b.dir, "mirror")}
	goroot, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env GOROOT: %w", err)
	}
	if _, err := timed(exec.CommandContext(ctx, "rsync", "-a", strings.TrimSpace(string(goroot))+"/", t.tree)); err != nil {
		return err
	}
	if t.baseline, err = memory(b.server.Process.Pid, "VmRSS"); err != nil {
		return err
	}
	for _, measure := range []func(context.Context) error{t.firstUpload, t.nothingChanged, t.oneFileChanged, t.outputBack, t.largeFile, t.manyFiles} {
		if err := measure(ctx); err != nil {
			return err
		}
	}
	return t.memoryRows()
}

// pushed is what of push's answer is measured.
type pushed struct {
	Artifact struct {
		ID int `json:"id"`
	} `json:"artifact"`
	Receipt struct {
		SentBytes      int64 `json:"sent_bytes"`
		SentCompressed int64 `json:"sent_compressed"`
		Requests       int64 `json:"requests"`
	} `json:"receipt"`
}

// push sends a directory.
func (t *transfers) push(ctx context.Context, dir string) (pushed, time.Duration, error) {
	var output bytes.Buffer
	cmd := t.midge(ctx, "artifacts", "push", dir, "--json", "--include-ignored")
	cmd.Stdout = &output
	took, err := t.measured(cmd)
	if err != nil {
		return pushed{}, 0, err
	}
	var answer pushed
	return answer, took, json.Unmarshal(output.Bytes(), &answer)
}

// measured is timed, and notes how much memory the command took.
func (t *transfers) measured(cmd *exec.Cmd) (time.Duration, error) {
	took, err := timed(cmd)
	if err != nil {
		return 0, err
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	t.peak = max(t.peak, usage.Maxrss<<10)
	return took, nil
}

// tarCopy is tar c | tar x.
func tarCopy(ctx context.Context, from, to string) *exec.Cmd {
	return exec.CommandContext(ctx, "sh", "-c", `mkdir -p "$2" && tar c -C "$1" . | tar x -C "$2"`, "sh", from, to)
}

func (t *transfers) firstUpload(ctx context.Context) error {
	copied := filepath.Join(t.dir, "tar")
	theirs, err := timed(tarCopy(ctx, t.tree, copied))
	if err != nil {
		return err
	}
	if err := os.RemoveAll(copied); err != nil {
		return err
	}
	_, ours, err := t.push(ctx, t.tree)
	if err != nil {
		return err
	}
	t.compare("first upload of the Go tree", ours, "`tar c \\| tar x`", theirs, "<= 2 x")
	return nil
}

// rsync brings the mirror to what the tree is.
func (t *transfers) rsync(ctx context.Context) (time.Duration, error) {
	return timed(exec.CommandContext(ctx, "rsync", "-a", t.tree+"/", t.mirror))
}

func (t *transfers) nothingChanged(ctx context.Context) error {
	if _, err := t.rsync(ctx); err != nil {
		return err
	}
	var requests int64
	ours, theirs, err := interleave(7,
		func() (time.Duration, error) {
			answer, took, err := t.push(ctx, t.tree)
			requests = answer.Receipt.Requests
			return took, err
		},
		func() (time.Duration, error) { return t.rsync(ctx) })
	if err != nil {
		return err
	}
	t.compare("the same tree again", ours, "`rsync -a` with nothing to do", theirs, "<= 1 x")
	t.add(row{"the same tree again: round trips", strconv.FormatInt(requests, 10), "", "", "1"})
	return nil
}

func (t *transfers) oneFileChanged(ctx context.Context) error {
	changes := 0
	change := func() error {
		changes++
		name := filepath.Join(t.tree, "src", "net", "http", "server.go")
		return os.WriteFile(name, fmt.Appendf(nil, "package http // change %d\n", changes), 0o644)
	}
	ours, theirs, err := interleave(7,
		func() (time.Duration, error) {
			_, took, err := t.push(ctx, t.tree)
			return took, err
		},
		// Each has the same change to bring over.
		func() (time.Duration, error) {
			if err := change(); err != nil {
				return 0, err
			}
			return t.rsync(ctx)
		})
	if err != nil {
		return err
	}
	t.compare("one file changed", ours, "`rsync -a` of it", theirs, "<= 1.5 x")
	return nil
}

func (t *transfers) outputBack(ctx context.Context) error {
	answer, _, err := t.push(ctx, t.tree)
	if err != nil {
		return err
	}
	home, copied := filepath.Join(t.dir, "home"), filepath.Join(t.dir, "tar")
	theirs, err := timed(tarCopy(ctx, t.tree, copied))
	if err != nil {
		return err
	}
	ours, err := t.measured(t.midge(ctx, "artifacts", "pull", strconv.Itoa(answer.Artifact.ID), home))
	if err != nil {
		return err
	}
	t.compare("the Go tree back as an output", ours, "`tar c \\| tar x`", theirs, "<= 2 x")
	return errors.Join(os.RemoveAll(home), os.RemoveAll(copied))
}

func (t *transfers) largeFile(ctx context.Context) error {
	const length = 1 << 30
	dir := filepath.Join(t.dir, "large")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		return err
	}
	defer file.Close()
	source := rand.NewChaCha8([32]byte{1})
	block := make([]byte, 1<<20)
	for range length / len(block) {
		source.Read(block)
		if _, err := file.Write(block); err != nil {
			return err
		}
	}
	if _, _, err := t.push(ctx, dir); err != nil {
		return err
	}
	if _, err := file.WriteAt(block[:1000], length/2); err != nil {
		return err
	}
	answer, took, err := t.push(ctx, dir)
	if err != nil {
		return err
	}
	t.add(row{"a 1 GB file with 1 kB changed in its middle", fmt.Sprintf("%.1f MiB sent in %s", mebibytes(answer.Receipt.SentBytes), format(took)), "", "", "<= 8 MiB"})
	return os.RemoveAll(dir)
}

func (t *transfers) manyFiles(ctx context.Context) error {
	const directories, perDirectory = 1000, 100
	dir := filepath.Join(t.dir, "many")
	for d := range directories {
		at := filepath.Join(dir, strconv.Itoa(d))
		if err := os.MkdirAll(at, 0o755); err != nil {
			return err
		}
		for f := range perDirectory {
			if err := os.WriteFile(filepath.Join(at, strconv.Itoa(f)), fmt.Appendf(nil, "%d %d\n", d, f), 0o644); err != nil {
				return err
			}
		}
	}
	copied := filepath.Join(t.dir, "tar")
	theirs, err := timed(tarCopy(ctx, dir, copied))
	if err != nil {
		return err
	}
	_, ours, err := t.push(ctx, dir)
	if err != nil {
		return err
	}
	t.compare("first upload of 100 k small files", ours, "`tar c \\| tar x`", theirs, "")
	return errors.Join(os.RemoveAll(dir), os.RemoveAll(copied))
}

func (t *transfers) memoryRows() error {
	peak, err := memory(t.server.Process.Pid, "VmHWM")
	if err != nil {
		return err
	}
	t.add(row{"the CLI's peak memory in these transfers", fmt.Sprintf("%.0f MiB", mebibytes(t.peak)), "", "", "<= 150 MiB"})
	t.add(row{"the server's growth in these transfers", fmt.Sprintf("%.0f MiB", mebibytes(peak-t.baseline)), "", "", "<= 150 MiB"})
	return nil
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

// memory gives a field of a process's status that is an amount of memory, in bytes.
func memory(pid int, field string) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		if name != field {
			continue
		}
		kibibytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		return kibibytes << 10, err
	}
	return 0, fmt.Errorf("the status of process %d has no %s", pid, field)
}
