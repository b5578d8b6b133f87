//go:build cluster

package kubernetes_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"midge/runtime"
	"midge/runtime/kubernetes"
)

// outputFrom gives what a process writes from a sequence number on, and what that ended with.
func outputFrom(t *testing.T, process runtime.Process, from int64) (string, error) {
	t.Helper()
	reader, err := process.Output(t.Context(), from)
	if err != nil {
		return "", err
	}
	defer reader.Close()
	var all strings.Builder
	for {
		chunk, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return all.String(), nil
		}
		if err != nil {
			return all.String(), err
		}
		if chunk.Sequence != from+int64(all.Len()) {
			t.Errorf("a chunk is numbered %d after %d bytes from %d on", chunk.Sequence, all.Len(), from)
		}
		all.Write(chunk.Data)
	}
}

// awaitLogged waits until the kubelet has logged a line of a task's container that has a text.
func awaitLogged(t *testing.T, p *corev1.Pod, text string) {
	t.Helper()
	// Commands run in a pod before its node has told the API server that it has started.
	awaitPod(t, p, func(p *corev1.Pod) bool { return p.Status.Phase != corev1.PodPending })
	stream, err := admin(t).Pods(p.Namespace).GetLogs(p.Name, &corev1.PodLogOptions{Container: "task", Follow: true}).Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for lines := bufio.NewScanner(stream); lines.Scan(); {
		if strings.Contains(lines.Text(), text) {
			return
		}
	}
	t.Fatalf("the log of pod %s ends without %q", p.Name, text)
}

// killFirst kills the first process of a pod's task container, on its node.
func killFirst(t *testing.T, p *corev1.Pod) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		dir := filepath.Dir(path)
		cgroup, _ := os.ReadFile(path)
		command, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		if !strings.Contains(string(cgroup), string(p.UID)) || !strings.HasPrefix(string(command), "/midge/midge-agent\x00pod\x00") {
			continue
		}
		id, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(id, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("pod %s has no first process", p.Name)
}

// What a task wrote whose pod has ended comes once, and to its end, whoever reads it,
// from wherever and since when; and how it ended is known when it had.
func TestOutputOfAPodThatHasEnded(t *testing.T) {
	t.Parallel()
	var want strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&want, "line %d\n", i)
	}
	const count = `i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done`
	for name, test := range map[string]struct {
		script, logged string
		ended          bool
	}{
		"running": {count + "; sleep 100000", `line 4999\n"`, false},
		"ended":   {count + "; exit 3", `exit {"code":3`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := newOptions(t)
			container := newContainer(t, newWorker(t, options), newSpec(name))
			process := begin(t, container, "task", test.script)
			check := func(process runtime.Process, from int64) {
				t.Helper()
				got, err := outputFrom(t, process, from)
				if got != want.String()[from:] {
					t.Errorf("from %d on there are %d bytes, and not the %d that were written", from, len(got), want.Len()-int(from))
				}
				ended := (*kubernetes.PodError)(nil)
				if test.ended && err != nil || !test.ended && !errors.As(err, &ended) {
					t.Errorf("the output ends with %v", err)
				}
				status, err := process.Wait(t.Context())
				if test.ended && (err != nil || status.Code != 3) || !test.ended && !errors.As(err, &ended) {
					t.Errorf("Wait gave %+v, %v", status, err)
				}
			}
			p := podOf(t, options, name)
			awaitLogged(t, p, test.logged)
			read := make(chan struct{})
			go func() {
				defer close(read)
				check(process, 0)
			}()
			if !test.ended {
				await(t, process, "line 4999") // as the other reader has, or is about to
			}
			killFirst(t, p)
			<-read
			// A server that was away meanwhile.
			found, err := newWorker(t, options).LookupContainer(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			if process, err = found.Attach(t.Context(), "task"); err != nil {
				t.Fatal(err)
			}
			check(process, 0)
			check(process, 12345)
			if _, err := found.Attach(t.Context(), "other"); err == nil {
				t.Error("a process was found that is not the task")
			}
		})
	}
}
