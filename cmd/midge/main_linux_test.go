package main

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmdtest"
	"go.uber.org/goleak"

	"midge/server/servertest"
)

var update = flag.Bool("update", false, "write what commands print into testdata/*.ct")

// asMidge makes the test binary midge itself, for tests that need a process of it.
const asMidge = "MIDGE_TEST_RUN"

// asPatient makes that midge wait for its completions, on a machine that is busy testing.
const asPatient = "MIDGE_TEST_PATIENT"

func TestMain(m *testing.M) {
	if os.Getenv(asMidge) != "" {
		sameInterrupt = 0 // a test is quicker than a person
		if os.Getenv(asPatient) != "" {
			completionTime = patience
		}
		os.Exit(run())
	}
	goleak.VerifyTestMain(m)
}

// environment is what the commands of testdata see. Each file has a server of its own.
type environment struct {
	server *servertest.Server
}

// start gives a file its server, a home, and the files of testdata/workspace.
func (e *environment) start(workspace string) func(dir string) error {
	return func(dir string) error {
		if err := e.stop(); err != nil {
			return err
		}
		server, err := servertest.NewServer(servertest.Options{})
		if err != nil {
			return err
		}
		e.server = server
		for name, value := range map[string]string{
			"HOME":             dir + "/home",
			"XDG_CONFIG_HOME":  dir + "/home/.config",
			"XDG_CACHE_HOME":   dir + "/home/.cache",
			"TZ":               "UTC",
			"MIDGE_TARGET":     "unix://" + server.Socket,
			"MIDGE_TOKEN":      "",
			"MIDGE_TOKEN_FILE": "",
			"SERVER":           server.URL,
			"NO_COLOR":         "",
		} {
			if err := os.Setenv(name, value); err != nil {
				return err
			}
		}
		return os.CopyFS(dir, os.DirFS(workspace))
	}
}

func (e *environment) stop() error {
	if e.server == nil {
		return nil
	}
	err := e.server.Close()
	e.server = nil
	return err
}

// What differs from run to run, and what testdata has instead.
var scrubs = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\d@\d\d:\d\d:\d\d[+-]\d{4}`), "2026-01-02@15:04:05+0000"},
	{regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d  `), "15:04:05  "},
	{regexp.MustCompile(`\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d UTC`), "Sat, 03 Jan 2026 15:04:05 UTC"},
	{regexp.MustCompile(`\b\d+(\.\d+)?s\b`), "1s"},
	{regexp.MustCompile(`\(\S+ .?B compressed\)`), "(150 B compressed)"},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "6c2a4a9e-9f6b-4a3e-8c61-0d9f4f7c1b2a"},
	{regexp.MustCompile(`\b(b\d+-)[0-9a-f]{12}\b`), "${1}1ec01bfc610d"},
	{regexp.MustCompile(`"session":"[a-z0-9]{16}"`), `"session":"x3mzp6q2v7t4n5kd"`},
	{regexp.MustCompile(`"time":\d+`), `"time":1767366245`},
	{regexp.MustCompile(`"created_at": ?\d+`), `"created_at": 1767366245`},
	{regexp.MustCompile(`"(sent|fetched)_compressed": \d+`), `"${1}_compressed": 150`},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "1a2b3c4d"},
	{regexp.MustCompile(`"modified": "[^"]*"`), `"modified": "2026-01-02T15:04:05Z"`},
	{regexp.MustCompile(`as artifact \d+, for: midge artifacts pull \d+`), "as artifact 7, for: midge artifacts pull 7"},
	{regexp.MustCompile(`"(start|end|create)_time": \d+`), `"${1}_time": 1767366245`},
	{regexp.MustCompile(`"(expires_at|used_at)": \d+`), `"${1}": 1767366245`},
	{regexp.MustCompile(`"token": "[A-Za-z0-9+/]{38}"`), `"token": "0123abcd"`},
}

// scrubbed gives what a command prints with all that differs from run to run replaced.
func (e *environment) scrubbed(command cmdtest.CommandFunc) cmdtest.CommandFunc {
	return func(args []string, inputFile string) ([]byte, error) {
		output, err := command(args, inputFile)
		text := strings.ReplaceAll(string(output), e.server.URL, "http://127.0.0.1:18080")
		text = strings.ReplaceAll(text, e.server.Socket, "/run/midge/midge.sock")
		for _, scrub := range scrubs {
			text = scrub.pattern.ReplaceAllString(text, scrub.instead)
		}
		return []byte(text), err
	}
}

// TestCommands runs the commands of testdata/*.ct, which show every command at work.
func TestCommands(t *testing.T) {
	suite, err := cmdtest.Read("testdata")
	if err != nil {
		t.Fatal(err)
	}
	workspace, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	restoreEnvironment(t)
	var e environment
	suite.Setup = e.start(workspace + "/testdata/workspace")
	suite.Commands["midge"] = e.scrubbed(cmdtest.InProcessProgram("midge", run))
	suite.Commands["fly"] = e.scrubbed(cmdtest.InProcessProgram("fly", run))
	ls, err := exec.LookPath("ls")
	if err != nil {
		t.Fatal(err)
	}
	suite.Commands["ls"] = cmdtest.Program(ls)
	suite.DisableLogging = true
	suite.Run(t, *update)
	if err := e.stop(); err != nil {
		t.Error(err)
	}
}

// restoreEnvironment puts the environment back when the test ends.
func restoreEnvironment(t *testing.T) {
	before := os.Environ()
	t.Cleanup(func() {
		os.Clearenv()
		var errs []error
		for _, entry := range before {
			name, value, _ := strings.Cut(entry, "=")
			errs = append(errs, os.Setenv(name, value))
		}
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
	})
}
