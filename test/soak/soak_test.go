// Package soak runs many builds on a real server, of which some are aborted and some
// looked into, while the server is killed again and again. In the end nothing may be
// lost, and the machine must have no more of the server's than at the beginning.
//
// It runs some dozens of builds in make test; make soak runs thousands.
package soak

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"midge/api"
	"midge/test/realserver"
)

var (
	builds  = flag.Int("builds", 40, "how many builds to run")
	running = flag.Int("running", 8, "how many builds run while the server is started anew")
	seed    = flag.Uint64("seed", 1, "what the choice of aborts, hijacks and kills begins with")
)

func TestMain(m *testing.M) { os.Exit(realserver.Main(m)) }

const (
	// atOnce is how many builds are in flight.
	atOnce = 8
	// killEvery is after how many builds the server is killed.
	killEvery = 8
	// lines is how many lines a build writes.
	lines = 200
	// mostContainers is how many there may be when the server is killed. On a slow machine,
	// were it killed sooner, it would never come to remove any.
	mostContainers = 100
)

// kind is what becomes of a build.
type kind int

const (
	succeeds kind = iota
	fails
	isAborted
	isHijacked
	kinds
)

func (k kind) String() string {
	return [...]string{"succeeded", "failed", "aborted", "hijacked"}[k]
}

// soak is one run.
type soak struct {
	t      *testing.T
	server *realserver.Server
	random *rand.Rand
	begun  int // builds

	mu    sync.Mutex // held while the server is started anew, and by who counts
	done  map[kind]int
	kills int
}

func TestSoak(t *testing.T) {
	s := &soak{t: t, random: rand.New(rand.NewPCG(*seed, 0)), done: map[kind]int{}}
	// What is no longer needed is to be gone by the end, and hardly waited for. Fewer builds
	// are kept than are begun while a client waits for the next server: it finds its outputs
	// all the same.
	s.server = realserver.Start(t, realserver.Options{Args: []string{
		"--gc-interval", "500ms", "--gc-grace", "0s", "--hold-failed", "0s", "--keep-builds", "4", "--build-grace", "1m",
		"--session-timeout", "1m", "--max-active-builds", fmt.Sprint(atOnce),
	}})
	// The first builds make what every server has once it has run some.
	s.runAll(atOnce)
	s.settle()
	before := s.measure()

	s.done = map[kind]int{}
	began := time.Now()
	// What a server loses as it runs is seen on one that is not killed for a while.
	s.runAndKill(*builds * 3 / 4)
	s.kill()
	s.runAll(*builds - *builds*3/4)
	took := time.Since(began)
	s.settle()

	after := s.check(before)
	lost := "nothing"
	if t.Failed() {
		lost = "what is said above"
	}
	t.Logf("%d builds in %v: %d succeeded, %d failed, %d aborted, %d hijacked; the server was killed %d times; lost: %s",
		*builds, took.Round(time.Second), s.done[succeeds], s.done[fails], s.done[isAborted], s.done[isHijacked], s.kills, lost)
	t.Logf("before: %v", before)
	t.Logf("after:  %v", after)
}

// measured is what a server has while no build runs.
type measured struct {
	inventory         realserver.Inventory
	files, goroutines int
	memory, disk      int64 // bytes
}

func (m measured) String() string {
	return fmt.Sprintf("%d files open, %d goroutines, %d MB resident, %d kB in the data dir", m.files, m.goroutines, m.memory>>20, m.disk>>10)
}

func (s *soak) measure() measured {
	s.t.Helper()
	return measured{
		goroutines: int(s.metric("go_goroutines")),
		inventory:  realserver.TakeInventory(s.t, s.server),
		files:      s.server.OpenFiles(),
		memory:     s.server.ResidentBytes(),
		disk:       diskUse(s.t, s.server.DataDir),
	}
}

const (
	// moreMemory is how much more a server may have after it has run many builds, which
	// its garbage collector has not given back to the machine.
	moreMemory = 64 << 20
	// moreFiles is how many more files and goroutines there may be: network namespaces that
	// are kept ready, and connections to the database, of which there may be few at first.
	// What each build or session left would be hundreds.
	moreFiles = 8
	// moreDisk is more than the history of the builds that are kept.
	moreDisk = 16 << 20
)

// check gives what the server has in the end, which is to be hardly more than before.
func (s *soak) check(before measured) (after measured) {
	s.t.Helper()
	// Connections of commands that have ended end a moment later, and builds are removed.
	realserver.Eventually(s.t, "there is hardly more than before", func() error {
		if after = s.measure(); after.files > before.files+moreFiles || after.goroutines > before.goroutines+moreFiles || after.disk > before.disk+moreDisk {
			return fmt.Errorf("there are %v, and were %v", after, before)
		}
		return nil
	})
	before.inventory.Compare(s.t, withoutServer(after.inventory, before.inventory))
	if after.memory > before.memory+moreMemory {
		s.t.Errorf("there are %v, and were %v", after, before)
	}
	return after
}

// A server that comes back finds all builds that run.
func TestRestart(t *testing.T) {
	s := &soak{t: t}
	s.server = realserver.Start(t, realserver.Options{Args: []string{"--max-active-builds", "0", "--gc-grace", "0s", "--hold-failed", "0s"}})
	task := s.server.Script("task", "sleep 100000", "")
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	for range *running {
		// They are ended with the server.
		cmd := s.server.Command(ctx, "execute", "-c", task)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		group.Go(func() { _ = cmd.Wait() })
	}
	tasks := func() error {
		var workers []api.Worker
		r := s.server.Midge("workers", "--json")
		if err := json.Unmarshal([]byte(r.Stdout), &workers); err != nil || len(workers) != 1 {
			return fmt.Errorf("the workers are %+v (%v)", r, err)
		}
		if workers[0].ActiveTasks != *running {
			return fmt.Errorf("%d tasks run", workers[0].ActiveTasks)
		}
		return nil
	}
	realserver.Eventually(t, "all tasks run", tasks)
	s.server.Kill()
	began := time.Now()
	s.server.Start()
	took := time.Since(began)
	if err := tasks(); err != nil {
		t.Errorf("after the restart: %v, want %d", err, *running)
	}
	if active := s.active(); active != *running {
		t.Errorf("after the restart %d builds are active, want %d", active, *running)
	}
	t.Logf("with %d builds that run the next server is ready after %v, and misses none", *running, took.Round(time.Millisecond))
}

// active is how many builds the engine runs, as soon as it tells.
func (s *soak) active() (active int) {
	s.t.Helper()
	realserver.Eventually(s.t, "the engine reports", func() error {
		var status api.Status
		r := s.server.Midge("status", "--details", "--json")
		if err := json.Unmarshal([]byte(r.Stdout), &status); err != nil {
			return fmt.Errorf("%w: %+v", err, r)
		}
		for _, part := range status.Parts {
			if part.Name == "engine" && part.LastRun != 0 {
				active = int(part.Values["active_builds"])
				return nil
			}
		}
		return errors.New("it has not")
	})
	return active
}

// runAll runs that many builds to their ends.
func (s *soak) runAll(n int) { s.runEach(n, func(int) {}) }

// runAndKill runs that many builds and kills the server between them.
func (s *soak) runAndKill(n int) {
	s.runEach(n, func(i int) {
		if i%killEvery == 0 {
			s.kill()
		}
	})
}

// runEach runs that many builds, some at once, and calls then when another was begun.
func (s *soak) runEach(n int, then func(i int)) {
	var group sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i := 1; i <= n; i++ {
		s.begun++
		number, what := s.begun, kind(s.random.IntN(int(kinds)))
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			s.run(number, what)
		})
		then(i)
	}
	group.Wait()
}

// kill kills the server and starts the next one, while builds run and clients wait.
func (s *soak) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	realserver.Eventually(s.t, "containers are removed", func() error {
		containers, err := os.ReadDir(filepath.Join(s.server.DataDir, "workers/containers"))
		if err == nil && len(containers) > mostContainers {
			err = fmt.Errorf("there are %d", len(containers))
		}
		return err
	})
	s.server.Kill()
	s.server.Start()
	s.kills++
}

// run runs a build of a kind to its end and checks that what it says is all there.
func (s *soak) run(i int, what kind) {
	mark := fmt.Sprintf("build-%d", i)
	script := fmt.Sprintf("for i in $(seq %d); do echo %s line $i; done; cp in/file out/", lines, mark)
	want := 0
	switch what {
	case fails:
		script, want = script+"; exit 7", 7
	case isAborted:
		script, want = script+"; echo ready; sleep 100000", 3
	case isHijacked:
		script, want = script+"; echo ready; while ! test -e go; do sleep 0.1; done", 0
	}
	dir := s.server.Path(mark)
	for name, text := range map[string]string{
		"in/file":  mark,
		"task.yml": "platform: linux\ninputs: [{name: in}]\noutputs: [{name: out}]\nrun: {path: sh, args: [-c, '" + script + "']}\n",
	} {
		if err := writeFile(filepath.Join(dir, name), text); err != nil {
			s.t.Error(err)
			return
		}
	}
	defer os.RemoveAll(dir)
	for {
		stdout, stderr, status := s.execute(dir, what)
		// A client that has never heard of a server does not wait for one.
		if strings.Contains(stderr, "no server answers") && !strings.Contains(stderr, "executing build") && s.t.Context().Err() == nil {
			continue
		}
		if status != want {
			s.t.Errorf("%s, which should have %s: exit status %d, want %d; stdout ends in %q, stderr is %q", mark, what, status, want, tail(stdout), stderr)
			return
		}
		s.checkBuild(mark, what, stdout, stderr, dir)
		break
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done[what]++
}

// execute runs the task in a directory, and gives what it printed and its exit status.
func (s *soak) execute(dir string, what kind) (stdout, stderr string, status int) {
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Minute)
	defer cancel()
	var out, err realserver.Output
	cmd := s.server.Command(ctx, "execute", "-c", filepath.Join(dir, "task.yml"), "-i", "in="+filepath.Join(dir, "in"), "-o", "out="+filepath.Join(dir, "out"))
	cmd.Stdout, cmd.Stderr = &out, &err
	if err := cmd.Start(); err != nil {
		s.t.Error(err)
		return "", "", -1
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// How it ended its status says.
		_ = cmd.Wait()
	}()
	if what == isAborted || what == isHijacked {
		s.disturb(ctx, what, &out, &err, ended)
	}
	<-ended
	return out.String(), err.String(), cmd.ProcessState.ExitCode()
}

// disturb aborts the build, or goes into its container, once it is ready.
func (s *soak) disturb(ctx context.Context, what kind, stdout, stderr *realserver.Output, ended <-chan struct{}) {
	for !strings.Contains(stdout.String(), "ready\n") {
		select {
		case <-ended:
			return
		case <-ctx.Done():
			s.t.Errorf("a build does not become ready: stdout ends in %q, stderr is %q", tail(stdout.String()), stderr.String())
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
	_, rest, _ := strings.Cut(stderr.String(), "executing build ")
	id, _, _ := strings.Cut(rest, " ")
	args := []string{"abort-build", "-b", id}
	if what == isHijacked {
		args = []string{"hijack", "-b", id, "--", "touch", "go"}
	}
	// A command that comes while the server is away has never heard of it, and fails at
	// once, as it should: then it is given again.
	for {
		out, err := s.server.Command(ctx, args...).CombinedOutput()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			s.t.Errorf("%v: %v: %s", args, err, out)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// checkBuild checks that every line is there once and in order, and the output's file.
func (s *soak) checkBuild(mark string, what kind, stdout, stderr, dir string) {
	var want strings.Builder
	for i := 1; i <= lines; i++ {
		fmt.Fprintf(&want, "%s line %d\n", mark, i)
	}
	if what == isAborted || what == isHijacked {
		want.WriteString("ready\n")
	}
	if stdout != want.String() {
		s.t.Errorf("%s, which has %s: the log has %d bytes, want %d; it ends in %q", mark, what, len(stdout), want.Len(), tail(stdout))
	}
	if text, err := os.ReadFile(filepath.Join(dir, "out/file")); err != nil || string(text) != mark {
		s.t.Errorf("%s, which has %s: the output is %q (%v); stderr is %q", mark, what, text, err, stderr)
	}
}

// settle waits until no build, no container and no session is left.
func (s *soak) settle() {
	s.t.Helper()
	settled := false
	defer func() {
		if !settled {
			s.server.Dump()
		}
	}()
	realserver.Eventually(s.t, "nothing runs any more", func() error {
		// Who was in a container keeps it for a while.
		var held []api.Container
		listed := s.server.Midge("containers", "--json")
		if err := json.Unmarshal([]byte(listed.Stdout), &held); err != nil {
			return fmt.Errorf("%w: %+v", err, listed)
		}
		for _, container := range held {
			s.server.Midge("release", fmt.Sprint(container.BuildID))
		}
		r := s.server.Midge("status", "--details", "--json")
		var status api.Status
		if err := json.Unmarshal([]byte(r.Stdout), &status); err != nil {
			return fmt.Errorf("%w: %+v", err, r)
		}
		for _, part := range status.Parts {
			for _, name := range []string{"active_builds", "waiting_builds", "containers", "sessions"} {
				if part.Values[name] != 0 {
					return fmt.Errorf("%s has %s %v", part.Name, name, part.Values[name])
				}
			}
			if part.LastRun == 0 && strings.HasPrefix(part.Name, "worker") {
				return fmt.Errorf("%s has not reported", part.Name)
			}
		}
		return nil
	})
	settled = true
}

// metric gives a number of the server's metrics.
func (s *soak) metric(name string) float64 {
	s.t.Helper()
	for line := range strings.Lines(s.server.Midge("curl", "/metrics").Stdout) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			var n float64
			if _, err := fmt.Sscan(value, &n); err != nil {
				s.t.Fatal(err)
			}
			return n
		}
	}
	s.t.Fatalf("there is no metric %s", name)
	return 0
}

// withoutServer leaves out the server's own process, which is another one than before.
func withoutServer(now, before realserver.Inventory) realserver.Inventory {
	var processes []string
	for _, line := range now["process"] {
		_, command, _ := strings.Cut(line, " ")
		for _, earlier := range before["process"] {
			if _, same, _ := strings.Cut(earlier, " "); same == command {
				line = earlier
			}
		}
		processes = append(processes, line)
	}
	now["process"] = processes
	return now
}

func writeFile(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

func tail(text string) string { return text[max(0, len(text)-200):] }

// diskUse is how many bytes the files below a directory have.
func diskUse(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, entry os.DirEntry, err error) error {
		if err != nil {
			return nil // what goes meanwhile takes nothing
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			bytes += info.Size()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}
