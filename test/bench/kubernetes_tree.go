package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// benchTree measures what is sent of the Go tree's sources when they come to a node a
// second time. What was sent is what the spans of the traces say that bytes.
func (b *bench) benchTree(ctx context.Context, image map[string]any) error {
	goroot, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env GOROOT: %w", err)
	}
	tree := filepath.Join(b.dir, "src")
	if _, err := timed(exec.CommandContext(ctx, "rsync", "-a", filepath.Join(strings.TrimSpace(string(goroot)), "src")+"/", tree)); err != nil {
		return err
	}
	task, err := b.writeTask("tree", "test -f in/net/http/server.go", map[string]any{
		"image_resource": image,
		"inputs":         []any{map[string]any{"name": "in"}},
	})
	if err != nil {
		return err
	}
	first, firstTook, err := b.executeTree(ctx, task, tree)
	if err != nil {
		return err
	}
	second, secondTook, err := b.executeTree(ctx, task, tree)
	if err != nil {
		return err
	}
	if first == 0 {
		return fmt.Errorf("the trace does not say that anything was sent the first time")
	}
	b.add(row{
		what:   "`execute` with the Go tree's sources, a second time on a node",
		midge:  fmt.Sprintf("%d bytes sent, %s", second, format(secondTook)),
		beside: fmt.Sprintf("the first time: %.1f MiB sent, %s", mebibytes(first), format(firstTook)),
		budget: "0 bytes",
	})
	return nil
}

// executeTree executes a task with a directory, and says how many bytes its spans have sent.
func (b *bench) executeTree(ctx context.Context, task, dir string) (sent int64, took time.Duration, err error) {
	cmd := b.midge(ctx, "execute", "-c", task, "-i", "in="+dir, "--include-ignored", "--trace=json")
	var text bytes.Buffer
	cmd.Stderr = &text
	if took, err = timed(cmd); err != nil {
		return 0, 0, fmt.Errorf("%w\n%s", err, text.Bytes())
	}
	sent, err = sentBytes(&text)
	return sent, took, err
}

// sentBytes sums up what the spans of a trace have sent that send contents: to the server,
// and to a pod. Lines that are no spans are passed over.
func sentBytes(trace io.Reader) (int64, error) {
	text, err := io.ReadAll(trace)
	if err != nil {
		return 0, err
	}
	var sent int64
	for line := range bytes.Lines(text) {
		var span struct {
			Name       string
			Attributes []struct {
				Key   string
				Value struct{ Value json.RawMessage }
			}
		}
		if json.Unmarshal(line, &span) != nil || span.Name != "send" && span.Name != "exchange trees" {
			continue
		}
		for _, attribute := range span.Attributes {
			if attribute.Key != "midge.bytes" {
				continue
			}
			var n int64
			if err := json.Unmarshal(attribute.Value.Value, &n); err != nil {
				return 0, fmt.Errorf("the bytes of span %q: %w", span.Name, err)
			}
			sent += n
		}
	}
	return sent, nil
}
