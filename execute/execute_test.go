package execute

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"midge/api"
	"midge/client"
	"midge/client/clienttest"
)

// concourse gives a client of a server that answers as a Concourse once did.
func concourse(t *testing.T, exchanges []clienttest.Exchange) *client.Client {
	t.Helper()
	info := clienttest.Read(t, "login.txt", "login -c URL -u USER -p PASSWORD")[:1]
	server := clienttest.Replay(t, append(info, exchanges...))
	c, err := client.New(client.Options{URL: server.URL, Token: clienttest.Token})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// archiveOf gives a compressed archive of one file.
func archiveOf(t *testing.T, name, content string) string {
	t.Helper()
	var packed bytes.Buffer
	compressed, err := compressor(&packed)
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewWriter(compressed)
	if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	archive.Write([]byte(content))
	if err := errors.Join(archive.Close(), compressed.Close()); err != nil {
		t.Fatal(err)
	}
	return packed.String()
}

func never() <-chan struct{} { return make(chan struct{}) }

const recordedTask = `
platform: linux
rootfs_uri: raw:///images/busybox/rootfs
container_limits: {cpu: 512, memory: 100MB}
params: {EMPTY: "", GREETING: hello}
inputs: [{name: proj}]
outputs: [{name: out}]
caches: [{path: cache}]
run:
  path: /bin/sh
  args: [-ec, 'echo out; echo err >&2; echo $GREETING; pwd; echo x > ../out/f; id; echo "$@"']
  dir: proj
`

// A Concourse gets from midge what it gets from fly, and is understood.
func TestRunOnConcourse(t *testing.T) {
	dir := workspace(t, map[string]string{"task.yml": recordedTask, "proj/file": "content"})
	exchanges := clienttest.Read(t, "execute.txt", "input uploaded, task succeeds, output downloaded (config has params, caches, container_limits, run.dir; extra args after --)")
	exchanges[len(exchanges)-1].Body = archiveOf(t, "f", "x\n")
	execution, err := Prepare(Request{
		Config: "task.yml", Directory: dir, LookupEnv: noEnv, TTY: true,
		Args:   []string{"--", "extra", "args"},
		Inputs: []Mapping{{"proj", "proj"}}, Outputs: []Mapping{{"out", "new/out"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := concourse(t, exchanges)
	var output strings.Builder
	var sent, received bool
	outcome, err := execution.Run(t.Context(), c, never(), func(progress Progress) {
		switch progress := progress.(type) {
		case Sent:
			sent = progress.Receipt.Files == 1 && progress.Receipt.Bytes == 7 && progress.Receipt.SentCompressed > 0 && progress.Artifact.ID == 33
		case Created:
			if progress.URL != c.URL()+"/builds/24" {
				t.Errorf("the page of the build is %s", progress.URL)
			}
		case Happened:
			if log, ok := progress.Data.(api.LogEvent); ok {
				output.Write(log.Output())
			}
		case Received:
			received = progress.Artifact.ID == 34
		}
	})
	if err != nil || outcome.Status != api.StatusSucceeded || outcome.ExitStatus() != 0 {
		t.Errorf("Run() = %+v, %v", outcome, err)
	}
	if !sent || !received || !strings.HasPrefix(output.String(), "out\r\nerr\r\nhello\r\n") {
		t.Errorf("sent %v, received %v, output %q", sent, received, &output)
	}
	if content, err := os.ReadFile(filepath.Join(dir, "new", "out", "f")); err != nil || string(content) != "x\n" {
		t.Errorf("the output is %q, %v", content, err)
	}
}

// The output of a task that failed comes home, and its exit status is the outcome's.
func TestRunFailsOnConcourse(t *testing.T) {
	dir := workspace(t, map[string]string{"task.yml": `
platform: linux
rootfs_uri: raw:///images/busybox/rootfs
outputs: [{name: out}]
run: {path: /bin/sh, args: [-c, "echo partial > out/f; exit 3"]}
`})
	exchanges := clienttest.Read(t, "execute.txt", "task exits 3; its output is still collected")
	exchanges[len(exchanges)-1].Body = archiveOf(t, "f", "partial\n")
	execution, err := Prepare(Request{Config: "task.yml", Directory: dir, LookupEnv: noEnv, Outputs: []Mapping{{"out", "out"}}})
	if err != nil {
		t.Fatal(err)
	}
	outcome, err := execution.Run(t.Context(), concourse(t, exchanges), never(), func(Progress) {})
	if err != nil || outcome.Status != api.StatusFailed || outcome.ExitStatus() != 3 {
		t.Errorf("Run() = %+v, %v", outcome, err)
	}
	if content, err := os.ReadFile(filepath.Join(dir, "out", "f")); err != nil || string(content) != "partial\n" {
		t.Errorf("the output is %q, %v", content, err)
	}
}

func TestAbortBeforeTheBuild(t *testing.T) {
	dir := workspace(t, map[string]string{"task.yml": recordedTask, "proj/file": "content"})
	execution, err := Prepare(Request{Config: "task.yml", Directory: dir, LookupEnv: noEnv, Inputs: []Mapping{{"proj", "proj"}}})
	if err != nil {
		t.Fatal(err)
	}
	abort := make(chan struct{})
	uploading := clienttest.Exchange{Method: "POST", Target: "/api/v1/teams/main/artifacts?platform=linux", RequestBody: "<any>", Status: 201, Body: `{"id":1}`}
	_, err = execution.Run(t.Context(), concourse(t, []clienttest.Exchange{uploading}), abort, func(progress Progress) {
		if _, ok := progress.(Sent); ok {
			close(abort)
		}
	})
	if !errors.Is(err, ErrAbortedEarly) {
		t.Errorf("Run() = %v", err)
	}
}

func TestExitStatus(t *testing.T) {
	tests := []struct {
		status api.BuildStatus
		task   int
		want   int
	}{
		{api.StatusSucceeded, 0, 0},
		{api.StatusSucceeded, 4, 0}, // of a step that was only tried
		{api.StatusSucceeded, -1, 0},
		{api.StatusFailed, 7, 7},
		{api.StatusFailed, 0, 1},
		{api.StatusFailed, -1, 1},
		{api.StatusErrored, -1, 2},
		{api.StatusErrored, 7, 7}, // it failed, and then its output could not be kept
		{api.StatusAborted, -1, 3},
	}
	for _, test := range tests {
		outcome := Outcome{Status: test.status, TaskStatus: test.task}
		if got := outcome.ExitStatus(); got != test.want {
			t.Errorf("%s with a task's %d: exit status %d, want %d", test.status, test.task, got, test.want)
		}
	}
}
