package endtoend

import (
	"fmt"
	"strings"
	"testing"
)

// What a task leaves in its caches, the next build of it finds: until they are cleared.
func TestCachesOfOneOffs(t *testing.T) {
	s := startServer(t)
	task := s.script("task", `
echo run >> .cache/runs
wc -l < .cache/runs
echo more >> deep/er/file
wc -l < deep/er/file`, "caches: [{path: .cache}, {path: deep/er}]\n")
	run := func(want string) {
		t.Helper()
		r := s.midge("execute", "-c", task, "--quiet")
		r.want(t, 0)
		if got := strings.Join(strings.Fields(r.stdout), " "); got != want {
			t.Errorf("the caches have %q lines, want %q", got, want)
		}
	}
	run("1 1")
	run("2 2")
	s.midge("volumes").want(t, 0, "task-cache", "one-off:.cache", "one-off:deep/er")

	s.midge("clear-task-cache", "-s", "one-off", "-c", ".cache/", "-n").want(t, 0, "1 caches removed")
	run("1 3")
	s.midge("clear-task-cache", "-s", "other", "-n").want(t, 0, "0 caches removed")
	run("2 4")
	s.midge("clear-task-cache", "-s", "one-off", "-n").want(t, 0, "2 caches removed")
	run("1 1")
}

// Builds that run at once each have the cache as it was, and the last to end wins.
func TestCacheOfTwoBuildsAtOnce(t *testing.T) {
	s := startServer(t)
	s.write(map[string]string{"first/in": "first", "second/in": "second"})
	task := s.script("task", `
i=0
while [ $i -lt 300 ]; do cat in/in > .cache/$i; i=$((i+1)); done
cat .cache/* | sed 's/firstfirst/first\nfirst/g; s/secondsecond/second\nsecond/g' | sed 's/tf/t\nf/g; s/ds/d\ns/g' | sort | uniq -c`,
		"inputs: [{name: in}]\ncaches: [{path: .cache}]\n")
	results := make(chan result, 2)
	for _, input := range []string{"first", "second"} {
		cmd := s.command("execute", "-c", task, "-i", "in="+input, "--quiet")
		go func() { results <- runCommand(t, cmd) }()
	}
	for range 2 {
		r := <-results
		r.want(t, 0)
		if fields := strings.Fields(r.stdout); len(fields) != 2 || fields[0] != "300" {
			t.Errorf("a build saw the cache of another: %q", r.stdout)
		}
	}
	check := s.script("check", "ls .cache | wc -l; cat .cache/*", "inputs: [{name: in}]\ncaches: [{path: .cache}]\n")
	r := s.midge("execute", "-c", check, "-i", "in=first", "--quiet")
	r.want(t, 0)
	first, second := fmt.Sprintln(300)+strings.Repeat("first", 300), fmt.Sprintln(300)+strings.Repeat("second", 300)
	if r.stdout != first && r.stdout != second {
		t.Errorf("the cache is neither of the two: %.200q", r.stdout)
	}
}
