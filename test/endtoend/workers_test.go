package endtoend

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// startWorkers starts a server with the workers of a YAML list.
func startWorkers(t *testing.T, workers string) *server {
	t.Helper()
	config := filepath.Join(t.TempDir(), "midge.yml")
	if err := os.WriteFile(config, []byte("workers:\n"+workers), 0o600); err != nil {
		t.Fatal(err)
	}
	return startServer(t, "--config", config)
}

func TestTwoWorkersOfOneMachine(t *testing.T) {
	s := startWorkers(t, "- {name: one}\n- {name: two, tags: [other]}\n")
	s.midge("workers").want(t, 0, "one", "two", "other", "running")
	task := s.script("task", "test -d $PWD; echo on $(hostname)", "")
	s.midge("execute", "-c", task).want(t, 0, "one")
	s.midge("execute", "-c", task, "--tag", "other").want(t, 0, "two")
	s.midge("execute", "-c", task, "--tag", "none").want(t, 2,
		"no workers satisfying: platform 'linux', tag 'none', version: '3.0'; there is one (platform 'linux'), two (platform 'linux', tag 'other')")
	for _, worker := range []string{"one", "two"} {
		if containers, err := os.ReadDir(s.path("data/workers/" + worker + "/containers")); err != nil || len(containers) != 1 {
			t.Errorf("%s has %d containers, %v; want one", worker, len(containers), err)
		}
	}
}

// What a task on one worker has made, a task of the same build on another reads.
func TestOutputOfAnotherWorker(t *testing.T) {
	s := startWorkers(t, "- {name: one}\n- {name: two, tags: [other]}\n")
	s.write(map[string]string{"plan.json": `{"id":"0","do":[
		{"id":"1","task":{"name":"writer","tty":false,"config":{"platform":"linux","outputs":[{"name":"out"}],"run":{"path":"sh","args":["-ec","echo made on one > out/file"]}}}},
		{"id":"2","task":{"name":"reader","tty":false,"tags":["other"],"config":{"platform":"linux","inputs":[{"name":"out"}],"run":{"path":"sh","args":["-ec","cat out/file; echo mine > out/file; cat out/file"]}}}}]}`})
	s.midge("curl", "/api/v1/teams/main/builds", "-X", "POST", "-H", "Content-Type: application/json", "-d", "@"+s.path("plan.json")).want(t, 0)
	s.midge("watch", "-b", "1").want(t, 0, "made on one", "mine")
}

func TestLandAndPruneAWorker(t *testing.T) {
	s := startWorkers(t, "- {name: one, max-active-tasks: 1}\n- {name: two}\n")
	s.midge("prune-worker", "-w", "two").wantError(t, 1, `worker "two" is running: land it first`)
	s.midge("land-worker", "-w", "two").want(t, 0)
	s.midge("workers").want(t, 0, "landed")
	s.midge("prune-worker", "-w", "two").want(t, 0)
	if r := s.midge("workers"); strings.Contains(r.stdout, "two") {
		t.Errorf("a worker that was pruned is listed:\n%s", r.stdout)
	}
	s.midge("prune-worker", "-w", "two").wantError(t, 1, "two")
	s.midge("execute", "-c", s.script("task", "echo hello", "")).want(t, 0, "hello")
}

// A task that finds all workers busy says so, and goes on when one is free.
func TestWaitForAWorker(t *testing.T) {
	s := startWorkers(t, "- {name: one, max-active-tasks: 1}\n")
	const reason = "no worker is free: one runs 1 of 1 tasks"
	s.midge("execute", "-c", s.script("long", "sleep 1000000", ""), "--background").want(t, 0)
	eventually(t, "the first task runs", func() error {
		if r := s.midge("workers", "--json"); !strings.Contains(r.stdout, `"active_tasks": 1`) {
			return errors.New(r.stdout)
		}
		return nil
	})
	waiting := s.command("execute", "-c", s.script("short", "echo ran", ""))
	said := new(output)
	waiting.Stdout, waiting.Stderr = said, said
	if err := waiting.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the second waits", func() error {
		if !strings.Contains(said.String(), reason) {
			return errors.New(said.String())
		}
		return nil
	})
	s.midge("abort-build", "-b", "1").want(t, 0)
	if err := waiting.Wait(); err != nil || !strings.Contains(said.String(), "ran\n") {
		t.Errorf("the build that has waited: %v\n%s", err, said)
	}
}
