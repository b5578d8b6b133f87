package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"midge/test/realserver"
)

// The server is killed when a container begins to be made, when its task begins to be
// started, when that has ended, and when its outputs are being kept. Each build ends as
// if nothing had been.
func TestServerIsKilledInEachStage(t *testing.T) {
	s := realserver.Start(t, realserver.Options{})
	s.Write("in/file", "from outside\n")
	task := s.Script("task", "seq 1000; cat in/file >out/file; dd if=/dev/urandom of=out/large bs=1M count=8 status=none; exit 7",
		"inputs: [{name: in}]\noutputs: [{name: out}]\n")
	var lines strings.Builder
	for i := 1; i <= 1000; i++ {
		fmt.Fprintln(&lines, i)
	}
	// The first build makes what every server has once it has run one.
	s.Midge("execute", "-c", task, "-i", "in="+s.Path("in"), "-o", "out="+s.Path("out-first")).Want(t, 7)

	containers := filepath.Join(s.DataDir, "workers", "containers")
	stages := []struct{ name, trace string }{ // below the data dir
		{"create", "workers/containers/*"},
		{"create, with a supervisor", "workers/containers/*/agent.lock"},
		{"create, done", "workers/containers/*/container.json"},
		{"start", "workers/containers/*/processes/task"},
		{"start, done", "workers/containers/*/processes/task/output/*"},
		{"collect", "workers/containers/*/processes/task/exit.json"},
		{"collect, outputs", "artifacts/tmp/pack-*"},
	}
	for i, stage := range stages {
		t.Run(stage.name, func(t *testing.T) {
			trace := awaitNew(t, filepath.Join(s.DataDir, stage.trace))
			out := s.Path(fmt.Sprintf("out-%d", i))
			build := execute(t, s, "-c", task, "-i", "in="+s.Path("in"), "-o", "out="+out)
			t.Logf("killed when there was %s", trace())
			s.Kill()
			s.Start()
			build.want(7)
			if got := build.output.String(); got != lines.String() {
				t.Errorf("the log has %d bytes and ends in %q, want %d", len(got), got[max(0, len(got)-50):], lines.Len())
			}
			if text, err := os.ReadFile(filepath.Join(out, "file")); err != nil || string(text) != "from outside\n" {
				t.Errorf("the output is %q (%v)", text, err)
			}
			if info, err := os.Stat(filepath.Join(out, "large")); err != nil || info.Size() != 8<<20 {
				t.Errorf("the large output is %v (%v)", info, err)
			}
		})
	}
	if t.Failed() {
		return
	}
	entries, err := os.ReadDir(containers)
	if err != nil || len(entries) == 0 {
		t.Errorf("there are the containers %v (%v): what was waited for was not theirs", entries, err)
	}
}

// awaitNew gives what waits until there is a file of that pattern which is not there
// now, and gives its path.
func awaitNew(t *testing.T, pattern string) func() string {
	t.Helper()
	list := func() []string {
		t.Helper()
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		return paths
	}
	before := list()
	return func() (path string) {
		t.Helper()
		busily(t, "a new "+pattern, func() bool {
			fresh := slices.DeleteFunc(list(), func(path string) bool { return slices.Contains(before, path) })
			if len(fresh) > 0 {
				path = fresh[0]
			}
			return len(fresh) > 0
		})
		return path
	}
}
