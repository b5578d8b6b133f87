package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"midge/api"
	"midge/runtime"
	"midge/runtime/runtimetest"
	"midge/server/eventlog"
	"midge/server/state"
)

func TestTasks(t *testing.T) {
	const header = "status started\na initialize\na worker memory\na start\n"
	tests := []struct {
		name   string
		plan   string
		events string // after the header, up to the last status
	}{
		{
			"streams are apart without a terminal",
			script("a", "echo out; echo err >&2"),
			`a stdout "out\n"` + "\n" + `a stderr "err\n"` + "\na exit 0",
		},
		{
			"a terminal is the default",
			`{"id":"a","task":{"name":"one-off","config":{"platform":"linux","run":{"path":"sh","args":["-c","echo out; echo err >&2; tty; stty size; echo $TERM"]}}}}`,
			`a stdout "out\r\nerr\r\n/dev/pts/0\r\n24 80\r\nxterm\r\n"` + "\na exit 0",
		},
		{
			"stdin is at its end",
			script("a", "cat; echo end"),
			`a stdout "end\n"` + "\na exit 0",
		},
		{
			"params are its environment",
			script("a", `echo "$GREETING $EMPTY $BUILD_TEAM_NAME $ATC_EXTERNAL_URL"; [ $BUILD_ID = $BUILD_NAME ]`, `"params":{"GREETING":"hello","EMPTY":"","BUILD_TEAM_NAME":"mine"}`),
			`a stdout "hello  mine http://midge.test\n"` + "\na exit 0",
		},
		{
			"params of the plan go before those of the config",
			`{"id":"a","task":{"name":"t","tty":false,"params":{"A":"plan"},"config":{"platform":"linux","run":{"path":"sh","args":["-c","echo $A $B"]},"params":{"A":"config","B":"config"}}}}`,
			`a stdout "plan config\n"` + "\na exit 0",
		},
		{
			"its directory is a directory below",
			script("a", `mkdir d; cd d; pwd`) + "",
			`a stdout "/tmp/build/` + digest(8, testTeam, "one-off") + `/d\n"` + "\na exit 0",
		},
		{
			"an output is an input of the next",
			`{"do":[` + script("b", "echo made > out/f", `"outputs":[{"name":"out"}]`) + `,` + script("a", "cat out/f", `"inputs":[{"name":"out"}]`) + `]}`,
			`a stdout "made\n"` + "\na exit 0",
		},
		{
			"what becomes of an input is an output of its path",
			`{"do":[` + script("b", "echo one > src/f", `"outputs":[{"name":"src"}]`) + `,` +
				script("c", "echo two >> src/f", `"inputs":[{"name":"src"}],"outputs":[{"name":"src"}]`) + `,` +
				script("a", "cat src/f", `"inputs":[{"name":"src"}]`) + `]}`,
			`a stdout "one\ntwo\n"` + "\na exit 0",
		},
		{
			"an input is its own copy",
			`{"do":[` + script("b", "echo one > src/f", `"outputs":[{"name":"src"}]`) + `,` +
				script("c", "echo two >> src/f", `"inputs":[{"name":"src"}]`) + `,` +
				script("a", "cat src/f", `"inputs":[{"name":"src"}]`) + `]}`,
			`a stdout "one\n"` + "\na exit 0",
		},
		{
			"names are mapped",
			`{"do":[{"id":"b","task":{"name":"b","output_mapping":{"out":"made"},"config":{"platform":"linux","run":{"path":"sh","args":["-c","echo made > out/f"]},"outputs":[{"name":"out"}]}}},` +
				`{"id":"a","task":{"name":"a","tty":false,"input_mapping":{"src":"made"},"config":{"platform":"linux","run":{"path":"sh","args":["-c","cat deep/src/f"]},"inputs":[{"name":"src","path":"deep/src"}]}}}]}`,
			`a stdout "made\n"` + "\na exit 0",
		},
		{
			"an optional input may be missing",
			script("a", "ls", `"inputs":[{"name":"src","optional":true}]`),
			"a exit 0",
		},
		{
			"an image may be an artifact",
			`{"do":[` + script("b", `mkdir -p image/rootfs/tmp; cp -r /bin image/rootfs; echo '{}' > image/metadata.json`, `"outputs":[{"name":"image"}]`) + `,` +
				`{"id":"a","task":{"name":"a","tty":false,"image":"image","config":{"platform":"linux","run":{"path":"/bin/ls","args":["/"]}}}}]}`,
			"",
		},
		{
			"output that is no text is kept",
			script("a", `printf '\303'; printf '\251 \377\n'`),
			`a stdout "é ` + "�" + `\n"` + "\na exit 0",
		},
	}
	s := newServer(t)
	s.start()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			build, events := s.run(test.plan)
			story := tell(t, events)
			if build.Status != api.StatusSucceeded {
				t.Fatalf("the build has %s:\n%s", build.Status, story)
			}
			if test.events != "" {
				checkText(t, only("status started\n"+only(story, "a "), "a ", "status"), header+test.events)
			}
		})
	}
}

func TestTasksThatError(t *testing.T) {
	tests := []struct {
		name, plan, message string
	}{
		{
			"missing inputs", script("a", "true", `"inputs":[{"name":"one"},{"name":"two"}]`),
			"missing inputs: one, two: no step of the build provides them, so pass them with -i NAME=DIR",
		},
		{
			"privileged", `{"id":"a","task":{"name":"a","privileged":true,"config":{"platform":"linux","run":{"path":"true"}}}}`,
			"this server runs no privileged tasks: it was not started with --allow-privileged",
		},
		{
			"too much memory", script("a", "true", `"container_limits":{"memory":"2GB"}`),
			"the task asks for 2 GB of memory, and this server gives a task 1 GB at most",
		},
		{
			"too much memory by the plan", `{"id":"a","task":{"name":"a","container_limits":{"memory":"1025MB"},"config":{"platform":"linux","run":{"path":"true"}}}}`,
			"the task asks for 1025 MB of memory, and this server gives a task 1 GB at most",
		},
		{
			"too much disk space", script("a", "true", `"container_limits":{"disk":"11GB"}`),
			"the task asks for 11 GB of disk space, and this server gives a task 10 GB at most",
		},
		{
			"too many shares", script("a", "true", `"container_limits":{"cpu":5000}`),
			"the task asks for 5000 CPU shares, and this server gives a task 4096 at most",
		},
		{
			"an image that no step has made", `{"id":"a","task":{"name":"a","image":"none","config":{"platform":"linux","run":{"path":"true"}}}}`,
			`the image "none" is no artifact of the build; there is none`,
		},
		{
			"an artifact that is not there", `{"id":"a","artifact_input":{"name":"src","artifact_id":99}}`,
			`input "src": the team main has no artifact 99: it may have expired, so upload it again`,
		},
		{
			"an artifact of another team", `{"id":"a","artifact_input":{"name":"src","artifact_id":1}}`,
			`input "src": the team main has no artifact 1: it may have expired, so upload it again`,
		},
		{
			"an output that no step has made", `{"id":"a","artifact_output":{"name":"out"}}`,
			`output "out": no step of the build has made it; there is none`,
		},
		{
			"a container that cannot be", script("a", "true", `"rootfs_uri":"docker:///busybox"`),
			"",
		},
		{
			"a directory that is not there", `{"id":"a","task":{"name":"a","config":{"platform":"linux","run":{"path":"true","dir":"none"}}}}`,
			"",
		},
		{
			"a user that is not there", `{"id":"a","task":{"name":"a","config":{"platform":"linux","run":{"path":"true","user":"nobody-knows"}}}}`,
			"",
		},
	}
	s := newServer(t)
	s.options.MaxLimits = runtime.Limits{Memory: 1 << 30, CPUShares: 4096, Disk: 10 << 30}
	s.upload("other", "f", "secret")
	s.start()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			build, events := s.run(test.plan)
			if build.Status != api.StatusErrored {
				t.Errorf("the build has %s", build.Status)
			}
			message := only(tell(t, events), "a error")
			if test.message == "" && message == "" {
				t.Error("nothing says why")
			}
			if test.message != "" {
				checkText(t, message, "a error "+test.message)
			}
			t.Log(message)
		})
	}
}

func TestArtifactsComeInAndGoOut(t *testing.T) {
	s := newServer(t)
	id := s.upload(testTeam, "f", "from outside\n")
	s.start()
	build, events := s.run(fmt.Sprintf(`{"ensure":{"step":{"do":[{"artifact_input":{"name":"src","artifact_id":%d}},%s]},"ensure":{"artifact_output":{"name":"out"}}}}`,
		id, script("a", "cat src/f > out/g; exit 2", `"inputs":[{"name":"src"}],"outputs":[{"name":"out"}]`)))
	if build.Status != api.StatusFailed {
		t.Fatalf("the build has %s:\n%s", build.Status, tell(t, events))
	}
	if got := s.kept(build, "out", "g"); got != "from outside\n" {
		t.Errorf("the output is %q", got)
	}
}

func TestOutputsOfATaskThatCannotStartAreKept(t *testing.T) {
	s := newServer(t)
	s.start()
	build, events := s.run(`{"ensure":{"step":{"id":"a","task":{"name":"a","config":{"platform":"linux","run":{"path":"/no/such"},"outputs":[{"name":"out"}]}}},"ensure":{"id":"out","artifact_output":{"name":"out"}}}}`)
	if story := tell(t, events); build.Status != api.StatusErrored || strings.Contains(story, "out error") {
		t.Errorf("the build has %s:\n%s", build.Status, story)
	}
}

// A task that came to no container has said why: that its outputs are not there either says
// nothing to anybody.
func TestOutputsOfATaskWithoutAContainerAreNoError(t *testing.T) {
	s := newServer(t)
	s.start()
	build, events := s.run(`{"ensure":{"step":{"id":"a","task":{"name":"a","privileged":true,"config":{"platform":"linux","run":{"path":"true"},"outputs":[{"name":"out"}]}}},"ensure":{"id":"out","artifact_output":{"name":"out"}}}}`)
	story := tell(t, events)
	if build.Status != api.StatusErrored || !strings.Contains(story, "a error this server runs no privileged tasks") || strings.Contains(story, "out error") {
		t.Errorf("the build has %s:\n%s", build.Status, story)
	}
}

func TestCachesAreKept(t *testing.T) {
	const cache = `"caches":[{"path":"cache"}]`
	s := newServer(t)
	s.start()
	s.run(script("a", "echo kept > cache/f; exit 1", cache))
	_, events := s.run(script("a", "cat cache/f", cache))
	checkText(t, only(tell(t, events), "stdout"), `a stdout "kept\n"`)
	if _, events := s.run(strings.Replace(script("a", "ls cache", cache), "one-off", "another", 1)); only(tell(t, events), "stdout") != "" {
		t.Error("another task has the cache")
	}
	worker := s.options.Workers.Workers()[0]
	if n, err := worker.ClearCaches(t.Context(), CachePrefix(testTeam, "one-off")); n != 1 || err != nil {
		t.Errorf("%d caches were cleared, %v", n, err)
	}
}

func TestWhatATaskIsGiven(t *testing.T) {
	var specs []runtime.ContainerSpec
	config := runtimetest.Config{Architecture: "arm64", OptionalTags: []string{"gpu"}}
	worker := &recordingWorker{Worker: runtimetest.NewWorker(config), specs: &specs}
	s := newServer(t, worker)
	s.options.AllowPrivileged = true
	s.options.DefaultLimits = runtime.Limits{CPUShares: 512, Memory: 1 << 26, Pids: 100}
	s.options.MaxLimits.Disk = 1 << 40
	s.start()
	s.run(`{"id":"a","task":{"name":"a","privileged":true,"hermetic":true,"tags":["gpu"],"config":{"platform":"linux/arm64","run":{"path":"true","user":"root"},"container_limits":{"memory":"128MB"},"caches":[{"path":"./c"}],"outputs":[{"name":"out","path":"deep/out/"}]}}}`)
	s.run(`{"id":"a","task":{"name":"a","config":{"platform":"linux","run":{"path":"true"},"image_resource":{"type":"registry-image","source":{"repository":"busybox"},"version":{"digest":"sha256:1"}},"container_limits":{"disk":"2GB"}}}}`)
	if len(specs) != 2 {
		t.Fatalf("%d containers were made", len(specs))
	}
	spec := specs[0]
	if !spec.Privileged || !spec.Hermetic || spec.User != "root" || !spec.Image.Host || spec.Platform != "linux/arm64" || !slices.Equal(spec.Tags, []string{"gpu"}) {
		t.Errorf("got %+v", spec)
	}
	if want := (runtime.Limits{CPUShares: 512, Memory: 128 << 20, Pids: 100, Disk: 1 << 40}); spec.Limits != want {
		t.Errorf("limits are %+v, want %+v", spec.Limits, want)
	}
	if got := specs[1].Limits.Disk; got != 2<<30 {
		t.Errorf("the limit of disk space is %d", got)
	}
	if spec.Outputs[0].Path != "deep/out" || spec.Caches[0].Path != "c" || !strings.HasPrefix(spec.Caches[0].Key, CachePrefix(testTeam, "a")) {
		t.Errorf("outputs %v, caches %v", spec.Outputs, spec.Caches)
	}
	image := specs[1].Image.Registry
	if image == nil || image.Type != "registry-image" || image.Source["repository"] != "busybox" || image.Version["digest"] != "sha256:1" {
		t.Errorf("the image is %+v", image)
	}
}

// recordingWorker is a worker that remembers what containers were asked for.
type recordingWorker struct {
	runtime.Worker
	specs *[]runtime.ContainerSpec
}

func (w *recordingWorker) FindOrCreateContainer(ctx context.Context, spec runtime.ContainerSpec) (runtime.Container, error) {
	*w.specs = append(*w.specs, spec)
	return w.Worker.FindOrCreateContainer(ctx, spec)
}

func TestAWorkerThatFails(t *testing.T) {
	for _, operation := range []runtimetest.Operation{runtimetest.CreateContainer, runtimetest.StartProcess} {
		t.Run(string(operation), func(t *testing.T) {
			s := newServer(t, runtimetest.NewWorker(runtimetest.Config{Fail: func(asked runtimetest.Operation, _ string) error {
				if asked == operation {
					return errors.New("no space")
				}
				return nil
			}}))
			s.start()
			build, events := s.run(good)
			if build.Status != api.StatusErrored || !strings.Contains(only(tell(t, events), "error "), "no space") {
				t.Errorf("the build has %s:\n%s", build.Status, tell(t, events))
			}
			rows, err := s.options.State.Containers(t.Context(), state.ContainerFilter{BuildID: build.ID})
			if err != nil || len(rows) != 1 || rows[0].FinishedAt.IsZero() {
				t.Errorf("the containers are %+v, %v", rows, err)
			}
		})
	}
}

func TestATaskKilledForMemorySaysSo(t *testing.T) {
	s := newServer(t)
	s.start()
	build, events := s.run(script("a", `x=x; while true; do x=$x$x; done`, `"container_limits":{"memory":"8MB"}`))
	if build.Status != api.StatusFailed {
		t.Errorf("the build has %s", build.Status)
	}
	const message = "the task was killed for memory: it reached its limit of 8 MB (peak n/a (not sampled)); raise container_limits.memory in the task's file or the server's --default-task-memory-limit"
	checkText(t, tell(t, events[4:]), `a stderr "midge: `+message+`\n"
a cause out_of_memory
a exit 137
status failed`)
}

func TestMuchOutputIsFewEvents(t *testing.T) {
	s := newServer(t)
	s.start()
	const lines = 100_000
	_, events := s.run(script("a", fmt.Sprintf("seq %d", lines)))
	got := output(t, events)[api.SourceStdout]
	if n := strings.Count(got, "\n"); n != lines || !strings.HasSuffix(got, fmt.Sprintf("\n%d\n", lines)) {
		t.Errorf("%d lines came", n)
	}
	if limit := 2000; len(events) > limit {
		t.Errorf("it makes %d events", len(events))
	}
}

func TestALogThatCannotBeWrittenErrorsTheBuild(t *testing.T) {
	s := newServer(t)
	s.start()
	id := s.create(script("a", "echo ready; while true; do echo more; sleep 0.01; done")).ID
	log, err := s.options.Logs.Open(id)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.awaitOutput(id, "ready")
	reader := log.From(log.Next() + 1000)
	if err := s.options.Logs.Remove(id); err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Next(t.Context()); !errors.Is(err, eventlog.ErrRemoved) {
		t.Errorf("the follower got %v", err)
	}
	s.stopWhenIdle()
	if build, err := s.options.State.Build(t.Context(), id); err != nil || build.Status != api.StatusErrored {
		t.Errorf("the build has %s, %v", build.Status, err)
	}
	s.checkNothingRuns()
}

// stopWhenIdle ends the engine once its builds are finished.
func (s *server) stopWhenIdle() {
	s.t.Helper()
	s.engine.work.Wait()
	s.stop()
}
