package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"midge/client"
)

// scripts are the files of completions, by the shell they are for.
var scripts = map[string]string{"bash": "midge.bash", "zsh": "_midge", "fish": "midge.fish", "powershell": "midge.ps1"}

func TestCompletionScriptsAreFresh(t *testing.T) {
	if len(scripts) != len(shells) {
		t.Errorf("there are scripts for %d shells, want %d", len(scripts), len(shells))
	}
	for shell, name := range scripts {
		written, err := os.ReadFile(filepath.Join("../../completions", name))
		if err != nil {
			t.Fatal(err)
		}
		if printed := midgeOutput(t, t.TempDir(), nil, "completion", shell); printed != string(written) {
			t.Errorf("completions/%s is stale; write it anew with: make completions", name)
		}
	}
}

// midgeOutput gives what a midge in dir prints on stdout. It is to succeed.
func midgeOutput(t *testing.T, dir string, environment []string, args ...string) string {
	t.Helper()
	output, err := midgeCommand(t, dir, environment, args...).Output()
	if err != nil {
		t.Fatalf("midge %s: %v", strings.Join(args, " "), err)
	}
	return string(output)
}

func TestCompletions(t *testing.T) {
	server, dir := startServer(t)
	midgeOutput(t, dir, []string{socketOf(server)}, "execute", "-c", "hello.yml", "-i", "src=src", "-o", "report=report", "--quiet")
	targets := client.TargetFile{Path: filepath.Join(dir, "midge", "targets.yml")}
	if err := targets.Update(func(targets map[string]client.Target) error {
		targets["ci"] = client.Target{URL: "https://midge.example.com"}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "half.yml"), []byte("inputs: [{name: ((name))}, {name: src, optional: true}]\nrun: {path: ((x))}"), 0o666); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	name, target, _ := strings.Cut(socketOf(server), "=")
	t.Setenv(name, target)
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", dir)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	usual := completionTime
	completionTime = patience // The machine is busy testing.
	t.Cleanup(func() { completionTime = usual })
	tests := []struct {
		words string // with @ for an empty one
		want  string // begins a line of what is offered
		not   string // begins none
	}{
		{"exec", "execute\tRun a task", "builds"},
		{"watch --tim", "--timestamps\t", "--team"},
		{"-t @", "ci\thttps://midge.example.com", ""},
		{"builds -t l", "local\t", "ci"},
		{"builds --team @", "main", "1"},
		{"watch -b @", "1\tsucceeded, ", ""},
		{"abort-build -b @", ":", "1"},
		{"hijack -b 1 -s @", "one-off\ttask", ""},
		{"hijack -s @", "one-off\ttask", ""},
		{"hijack --step-type g", "get", "task"},
		{"artifacts cat @", "2\treport, ", ""},
		{"artifacts pull 2 @", ":16", ""},
		{"release @", "1\tsucceeded", ""},
		{"usage @", "1\tsucceeded", ""},
		{"trace --compare 1 @", "1\tsucceeded", ""},
		{"execute --usage=t", "table", "json"},
		{"builds --trace=j", "json", "tree"},
		{"help artifacts p", "pull\tMake", "cat"},
		{"land-worker -w @", "", "1"},
		{"execute -c hello.yml -i @", "src=\tinput", "report"},
		{"execute -c hello.yml -o @", "report=\toutput", "src"},
		{"execute -c half.yml -i @", "src=\toptional input", ""},
		{"execute -i src=s", "src=src/", "src=docs/"},
		{"execute -i src=src/", ":", "src=src/name.txt"},
		{"execute -i src=@@", "src=@1/\tsucceeded", ""},
		{"execute -i src=@1/@", "src=@1/report\t", ""},
		{"execute -c @", ":0", ""},
		{"execute -c gone.yml -i @", ":", ""},
		{"completion p", "powershell", "bash"},
	}
	for _, test := range tests {
		words := strings.Fields(test.words)
		for i, word := range words {
			if word == "@" {
				words[i] = ""
			} else if strings.Contains(word, "=") {
				words[i] = strings.TrimSuffix(word, "@")
			}
		}
		output := offered(t, dir, words)
		if !strings.Contains("\n"+output, "\n"+test.want) || test.not != "" && strings.Contains("\n"+output, "\n"+test.not) {
			t.Errorf("midge %s offers\n%swant %q and not %q", test.words, output, test.want, test.not)
		}
	}
}

// offered gives what a midge in dir, which is this process, offers for a command line. To
// start a process for each would take longer than all the rest of the tests.
func offered(t *testing.T, dir string, words []string) string {
	t.Helper()
	stdout, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	defer stdout.Close()
	stderr, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	args := append([]string{"__complete"}, words...)
	p := &program{
		name: "midge", args: args, directory: dir, lookupEnv: os.LookupEnv, stdin: os.Stdin,
		stdout: newStream(stdout, os.LookupEnv), stderr: newStream(stderr, os.LookupEnv),
	}
	root := newRootCommand(p)
	root.SetArgs(args)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	if err := root.Execute(); err != nil {
		t.Errorf("midge %q: %v", args, err)
	}
	output, err := os.ReadFile(stdout.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(output)
}

// What a server had is remembered, for one target and one token, and damage is not minded.
func TestCompletionsAreRemembered(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", dir)
	now := time.Now()
	cache := newCompletionCache(client.Options{URL: "http://a", Token: "x"}, "builds")
	cache.write([]completionChoice{{"12", "failed"}}, now)
	if choices, ok := cache.read(now); !ok || len(choices) != 1 || choices[0].Value != "12" {
		t.Errorf("%v, %v are remembered", choices, ok)
	}
	if _, ok := cache.read(now.Add(completionAge)); ok {
		t.Error("it is remembered for too long")
	}
	if _, ok := newCompletionCache(client.Options{URL: "http://a", Token: "y"}, "builds").read(now); ok {
		t.Error("another token is told of it")
	}
	for _, damaged := range []string{"", "{", "[]", `{"at": 1}`, `{"choices": [{"value": "13"}]}`} {
		if err := os.WriteFile(cache.path, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		if choices, ok := cache.read(now); ok {
			t.Errorf("%q is remembered as %v", damaged, choices)
		}
	}
	cache.write([]completionChoice{{"14", ""}}, now)
	if choices, ok := cache.read(now); !ok || choices[0].Value != "14" {
		t.Errorf("after damage, %v, %v are remembered", choices, ok)
	}
	entries, err := os.ReadDir(filepath.Dir(cache.path))
	if err != nil || len(entries) != 1 {
		t.Errorf("there are %d files, %v", len(entries), err)
	}
}

// A server that takes a connection and never answers is not waited for, nor one that is
// not there, and one that wants a login is not logged in to.
func TestCompletionsOfBadServers(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	server, dir := startServer(t)
	for _, target := range []string{
		"http://" + silent.Addr().String(), "unix://" + filepath.Join(dir, "gone.sock"), server.URL, "unknown", "ftp://x",
	} {
		if output := midgeOutput(t, dir, []string{"MIDGE_TARGET=" + target}, "__complete", "watch", "-b", ""); output != ":36\n" {
			t.Errorf("with %s, it offers %q", target, output)
		}
	}
}

// TestShells completes command lines in real shells.
func TestShells(t *testing.T) {
	server, dir := startServer(t)
	for range 2 {
		midgeOutput(t, dir, []string{socketOf(server)}, "execute", "-c", "hello.yml", "-i", "src=src", "--quiet")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, "midge")); err != nil {
		t.Fatal(err)
	}
	quoted := `{platform: linux, inputs: [{name: my-src}], run: {path: sh, args: [-c, "echo my quoted $(cat my-src/name.txt)"]}}`
	if err := os.WriteFile(filepath.Join(dir, "it's \"quoted\".yml"), []byte(quoted), 0o666); err != nil {
		t.Fatal(err)
	}
	completions, err := filepath.Abs("../../completions")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		command []string
		begin   string
	}{
		"bash": {
			[]string{"bash", "--norc", "--noprofile", "-i"},
			"source /usr/share/bash-completion/bash_completion; source " + completions + "/midge.bash; PS1='re''ady> '\n",
		},
		"zsh": {
			[]string{"zsh", "-f", "-i"},
			"fpath=(" + completions + " $fpath); autoload -U compinit; compinit -u -D; PS1='re''ady> '\n",
		},
		"fish": {
			[]string{"fish", "--no-config", "-i"},
			"source " + completions + "/midge.fish; function fish_prompt; echo -n 're''ady> '; end\n",
		},
	}
	for name, shell := range tests {
		t.Run(name, func(t *testing.T) {
			command := exec.Command(shell.command[0], shell.command[1:]...)
			command.Dir = dir
			command.Env = append(os.Environ(), asMidge+"=1", asPatient+"=1", "TERM=xterm", "HOME="+dir, "XDG_CONFIG_HOME="+dir,
				"XDG_CACHE_HOME="+filepath.Join(dir, "cache"), "PATH="+dir+":"+os.Getenv("PATH"), "LC_ALL=C.UTF-8", socketOf(server))
			c := startOnTerminal(t, command)
			c.enter(shell.begin)
			c.await("ready> ")
			const clear = "\x15"
			c.enter("midge watch -b \t\t")
			shown := c.await("succeeded, ")
			if _, err := os.Stat(filepath.Join(dir, "cache", "midge", "completions")); err != nil {
				t.Errorf("nothing is remembered: %v; shown is\n%s", err, shown)
			}
			c.enter(clear + "midge art\t")
			c.await("artifacts")
			c.enter(clear + "midge execute -c it\t-i my\tsr\t --quiet && midge execute -c it\t--input=my\tsr\t --quiet\n")
			c.until("does not run both", func(shown string) bool { return strings.Count(shown, "my quoted sources") == 2 })
		})
	}
}
