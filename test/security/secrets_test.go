package security

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"midge/test/realserver"
)

// A token and a password are in no file, log, trace, event or command line of the
// server's, not even when it tells everything, and the values of params in none but
// the state, which is root's.
func TestSecretsAreNotWritten(t *testing.T) {
	s := start(t, "--log-level", "debug")
	ann := logIn(t, s, "ann")
	const param, variable = "param-that-is-secret", "variable-that-is-secret"
	task := s.Script("task", "echo begun; until test -e ended; do sleep 0.05; done; exit 3", "params: {SECRET: none, OTHER: ((other))}\n")
	login := s.Command(t.Context(), "-t", "tcp", "login", "-c", s.URL(), "-u", "ann", "-p", "ann-secret")
	realserver.Run(t, login).Want(t, 0)
	execute := s.Command(t.Context(), "-t", "tcp", "--trace=json", "--verbose", "execute", "-c", task, "-v", "other="+variable)
	execute.Env = append(execute.Env, "SECRET="+param)
	var stdout, stderr realserver.Output
	execute.Stdout, execute.Stderr = &stdout, &stderr
	if err := execute.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		execute.Process.Kill()
		execute.Wait()
	})
	realserver.Eventually(t, "the task runs", func() error {
		if !strings.Contains(stdout.String(), "begun") {
			return fmt.Errorf("it has printed %q", stdout.String())
		}
		return nil
	})
	targets, err := os.ReadFile(s.Path("home/.config/midge/targets.yml"))
	if err != nil {
		t.Fatal(err)
	}
	_, token, _ := strings.Cut(string(targets), "value: ")
	token, _, _ = strings.Cut(token, "\n")
	if len(token) < 20 {
		t.Fatalf("the token is %q", token)
	}
	credentials := map[string]string{"token": token, "another token": ann.token, "password": "ann-secret"}
	// While all that is there for the task runs, of which only the client was told the variable.
	wantInNoCommandLine(t, "param", param)
	for name, secret := range credentials {
		wantInNoCommandLine(t, name, secret)
	}
	hijack := realserver.Run(t, s.Command(t.Context(), "-t", "tcp", "hijack", "-b", "1", "--", "sh", "-c", "echo $SECRET; touch ended"))
	if hijack.Want(t, 0); hijack.Stdout != param+"\n" {
		t.Errorf("the param is %q in the container", hijack.Stdout)
	}
	err = execute.Wait()
	printed := stdout.String() + stderr.String()
	if execute.ProcessState.ExitCode() != 3 {
		t.Errorf("the client ended with %v and printed %s", err, printed)
	}
	for name, secret := range credentials {
		wantNowhere(t, s, name, secret, func(string) bool { return true })
		if strings.Contains(printed, secret) {
			t.Errorf("the %s is in what the client prints:\n%s", name, printed)
		}
	}
	notInState := func(path string) bool {
		return !strings.HasPrefix(filepath.Base(path), "midge.db") && !strings.HasPrefix(path, filepath.Join(s.DataDir, "workers"))
	}
	for name, secret := range map[string]string{"param": param, "variable": variable} {
		wantNowhere(t, s, name, secret, notInState)
	}
}

// wantNowhere checks that a secret is neither in the server's log, nor in a command
// line of the machine, nor in those files of the data dir.
func wantNowhere(t *testing.T, s *realserver.Server, name, secret string, among func(path string) bool) {
	t.Helper()
	if strings.Contains(s.Log(), secret) {
		t.Errorf("the %s is in the server's log", name)
	}
	wantInNoCommandLine(t, name, secret)
	err := filepath.WalkDir(s.DataDir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || !among(path) {
			return nil // what goes meanwhile holds nothing any more
		}
		if text, err := os.ReadFile(path); err == nil && bytes.Contains(text, []byte(secret)) {
			t.Errorf("the %s is in %s", name, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func wantInNoCommandLine(t *testing.T, name, secret string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if command, err := os.ReadFile(file); err == nil && bytes.Contains(command, []byte(secret)) {
			t.Errorf("the %s is in a command line: %q", name, command)
		}
	}
}

// Nothing that knows secrets writes its memory to a disk when it crashes: not the server,
// nor a supervisor, nor a client.
func TestNoCoreDumps(t *testing.T) {
	s := start(t)
	client := s.Command(t.Context(), "execute", "-c", s.Script("task", "echo ready; sleep 100000", ""))
	var printed realserver.Output
	client.Stdout = &printed
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Process.Kill()
		client.Wait()
	})
	realserver.Eventually(t, "the task runs", func() error {
		if !strings.Contains(printed.String(), "ready") {
			return fmt.Errorf("it has printed %q", printed.String())
		}
		return nil
	})
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	checked := map[string]bool{}
	for _, file := range files {
		command, err := os.ReadFile(file)
		program, _, _ := strings.Cut(string(command), "\x00")
		name := filepath.Base(program)
		if err != nil || !bytes.Contains(command, []byte(s.Dir)) || name != "midge" && name != "midge-server" && name != "midge-agent" {
			continue
		}
		limits, err := os.ReadFile(filepath.Join(filepath.Dir(file), "limits"))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(limits)) {
			// One byte is less than any dump, and keeps it from programs that take dumps too.
			if fields := strings.Fields(line); strings.HasPrefix(line, "Max core file size") {
				if checked[name] = true; fields[4] != "1" {
					t.Errorf("a process may dump its memory: %s of %q", strings.TrimSpace(line), command)
				}
			}
		}
	}
	for _, name := range []string{"midge", "midge-server", "midge-agent"} {
		if !checked[name] {
			t.Errorf("no %s was looked at", name)
		}
	}
}
