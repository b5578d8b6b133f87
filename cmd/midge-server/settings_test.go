package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"midge/server"
)

// parse reads settings from flags, variables and the text of a file.
func parse(t *testing.T, args []string, variables map[string]string, file string) (*settings, error) {
	t.Helper()
	if file != "" {
		path := filepath.Join(t.TempDir(), "midge.yml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", path)
	}
	s := &settings{}
	flags := pflag.NewFlagSet("midge-server", pflag.ContinueOnError)
	s.addTo(flags)
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	err := s.readSources(flags, func(name string) (string, bool) {
		value, ok := variables[name]
		return value, ok
	})
	return s, err
}

func TestTeamsOfTheFile(t *testing.T) {
	s, err := parse(t, nil, nil, `
add-local-user: ["ann:secret"]
teams:
  main:
    owner: {users: ["local:ann"]}
  ci:
    member: {groups: ["oidc:devs"], users: ["oidc:bob"]}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]server.TeamRoles{
		"main": {"owner": {Users: []string{"local:ann"}}},
		"ci":   {"member": {Users: []string{"oidc:bob"}, Groups: []string{"oidc:devs"}}},
	}
	if !reflect.DeepEqual(s.server.Teams, want) {
		t.Errorf("got %+v, want %+v", s.server.Teams, want)
	}
	for _, text := range []string{"teams: [main]\n", "teams: {main: {owner: [ann]}}\n", "teams: {main: {owner: {user: [ann]}}}\n"} {
		if _, err := parse(t, nil, nil, text); err == nil || !strings.Contains(err.Error(), "the setting teams: ") {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

func TestPrecedence(t *testing.T) {
	flag, variable, file := []string{"--gc-grace", "1m"}, map[string]string{"MIDGE_GC_GRACE": "2m"}, "gc-grace: 3m\n"
	tests := []struct {
		name      string
		args      []string
		variables map[string]string
		file      string
		want      time.Duration
	}{
		{"default", nil, nil, "", 5 * time.Minute},
		{"file", nil, nil, file, 3 * time.Minute},
		{"variable before file", nil, variable, file, 2 * time.Minute},
		{"flag before all", flag, variable, file, time.Minute},
		{"empty file", nil, variable, "\n", 2 * time.Minute},
		{"zero", []string{"--gc-grace", "0"}, variable, file, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := parse(t, test.args, test.variables, test.file)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.server.CollectGrace; got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestEverySourceTakesSeveralValues(t *testing.T) {
	want := []string{"/a", "/b"}
	for name, parsed := range map[string]func() (*settings, error){
		"flags": func() (*settings, error) {
			return parse(t, []string{"--allow-rootfs", "/a", "--allow-rootfs", "/b"}, nil, "")
		},
		"variable": func() (*settings, error) { return parse(t, nil, map[string]string{"MIDGE_ALLOW_ROOTFS": "/a,/b"}, "") },
		"file":     func() (*settings, error) { return parse(t, nil, nil, "allow-rootfs: [/a, /b]\n") },
	} {
		s, err := parsed()
		if err != nil || !reflect.DeepEqual(s.worker.runc.AllowRootfs, want) {
			t.Errorf("%s: got %v, %v; want %v", name, s, err, want)
		}
	}
}

func TestSettingsOfEveryKind(t *testing.T) {
	s, err := parse(t, []string{"--default-task-memory-limit", "512MB", "--default-task-disk-limit", "20GB", "--log-level=debug", "--add-local-user", "ann:a,b"}, nil,
		"host-image: false\nmax-task-disk-limit: 50GB\nmax-active-builds: 3\nlog-format: json\nmax-task-cpu-limit: 512\nlisten: \"\"\n")
	if err != nil {
		t.Fatal(err)
	}
	config, err := s.config()
	if err != nil {
		t.Fatal(err)
	}
	if s.worker.runc.HostImage || config.MaxActiveBuilds != 3 || s.logFormat != "json" || config.DefaultLimits.Memory != 512<<20 ||
		config.DefaultLimits.Disk != 20<<30 || config.MaxLimits.Disk != 50<<30 ||
		config.MaxLimits.CPUShares != 512 || config.Listen != "" || !config.Log.Enabled(t.Context(), -4) {
		t.Errorf("got %+v", s)
	}
	if len(config.Users) != 1 || config.Users[0].Password != "a,b" {
		t.Errorf("got users %v", config.Users)
	}
}

func TestBadSettings(t *testing.T) {
	tests := []struct {
		name      string
		args      []string
		variables map[string]string
		file      string
		want      string
	}{
		{"bad flag", []string{"--grace", "soon"}, nil, "", `"--grace"`},
		{"bad variable", nil, map[string]string{"MIDGE_GRACE": "soon"}, "", `the variable MIDGE_GRACE: "soon" is no time: write it with its unit, as in 5s, 1m or 2h`},
		{"bad field", nil, nil, "grace: soon\n", `midge.yml: the setting grace: "soon" is no time`},
		{"time without a unit", nil, nil, "build-grace: 5\n", `midge.yml: the setting build-grace: "5" is no time: write it with its unit, as in 5s, 1m or 2h`},
		{"time below 0", nil, map[string]string{"MIDGE_GC_GRACE": "-5m"}, "", `the variable MIDGE_GC_GRACE: "-5m" is no time: it is below 0`},
		{"unknown field", nil, nil, "data_dir: /x\n", `there is no setting "data_dir"; did you mean data-dir?`},
		{"config in a file", nil, nil, "config: /x\n", `there is no setting "config"`},
		{"nested field", nil, nil, "grace: {a: b}\n", "the setting grace: it should be a value, or a list of values"},
		{"field without a value", nil, nil, "grace:\n", "the setting grace: it should be a value, or a list of values"},
		{"no YAML", nil, nil, "grace: [\n", "is not YAML"},
		{"a list", nil, nil, "- grace\n", "is not YAML"},
		{"bad memory", nil, nil, "max-task-memory-limit: much\n", `"much" is no amount of memory`},
		{"bad word", nil, map[string]string{"MIDGE_LOG_FORMAT": "xml"}, "", "it should be one of text, json"},
		{"bad level", nil, map[string]string{"MIDGE_LOG_LEVEL": "loud"}, "", "unknown name"},
		{"missing file", []string{"--config", "/none/midge.yml"}, nil, "", "read the settings: open /none/midge.yml"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := parse(t, test.args, test.variables, test.file)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want something with %q", err, test.want)
			}
		})
	}
}

func TestBadUserDoesNotShowItsPassword(t *testing.T) {
	for name, parsed := range map[string]func() (*settings, error){
		"flag": func() (*settings, error) { return parse(t, []string{"--add-local-user", "hunter2"}, nil, "") },
		"variable": func() (*settings, error) {
			return parse(t, nil, map[string]string{"MIDGE_ADD_LOCAL_USER": "hunter2"}, "")
		},
		"file": func() (*settings, error) { return parse(t, nil, nil, "add-local-user: hunter2\n") },
	} {
		s, err := parsed()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.config(); err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "NAME:PASSWORD") {
			t.Errorf("%s: got %v, want how a user is written, and not the password", name, err)
		}
	}
}

func TestMistypedFlag(t *testing.T) {
	command := newCommand(func(string) (string, bool) { return "", false })
	command.SetArgs([]string{"--data-dri", "/x"})
	err := command.Execute()
	if want := "there is no setting --data-dri; did you mean data-dir?"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestBackupWithoutAFile(t *testing.T) {
	for _, command := range []string{"backup", "restore"} {
		cmd := newCommand(func(string) (string, bool) { return "", false })
		cmd.SetArgs([]string{command})
		want := "midge-server " + command + " needs the name of one file, or -, and has 0: see midge-server " + command + " --help"
		if err := cmd.Execute(); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestRestoreTellsOfAnEarlierBackup(t *testing.T) {
	var backup, said bytes.Buffer
	archive := tar.NewWriter(&backup)
	if err := errors.Join(archive.WriteHeader(&tar.Header{Name: "midge.db", Mode: 0o600}), archive.Close()); err != nil {
		t.Fatal(err)
	}
	cmd := newCommand(func(string) (string, bool) { return "", false })
	cmd.SetArgs([]string{"restore", "--data-dir", t.TempDir(), "-"})
	cmd.SetIn(&backup)
	cmd.SetErr(&said)
	if err := cmd.Execute(); err != nil || !strings.Contains(said.String(), "the backup is of an earlier version") {
		t.Errorf("it says %q (%v)", said.String(), err)
	}
}

func TestBadValueOfAFlag(t *testing.T) {
	for argument, want := range map[string]string{
		"--build-grace=5":                 `the setting --build-grace: "5" is no time: write it with its unit, as in 5s, 1m or 2h`,
		"--max-held=many":                 `the setting --max-held: "many" is no whole number`,
		"--max-held=99999999999999999999": `the setting --max-held: "99999999999999999999" is too large a number`,
		"--allow-privileged=maybe":        `the setting --allow-privileged: "maybe" is neither true nor false`,
	} {
		command := newCommand(func(string) (string, bool) { return "", false })
		command.SetArgs([]string{argument})
		if err := command.Execute(); err == nil || err.Error() != want {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	command := newCommand(func(name string) (string, bool) { return "many", name == "MIDGE_MAX_HELD" })
	command.SetArgs(nil)
	want := `the variable MIDGE_MAX_HELD: "many" is no whole number`
	if err := command.Execute(); err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestDocumentNamesEverySetting(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "server.md"))
	if err != nil {
		t.Fatal(err)
	}
	flags := pflag.NewFlagSet("midge-server", pflag.ContinueOnError)
	new(settings).addTo(flags)
	flags.VisitAll(func(flag *pflag.Flag) {
		if !strings.Contains(string(text), "`"+flag.Name+"`") {
			t.Errorf("docs/server.md does not tell of %s", flag.Name)
		}
	})
}
