package execute

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// workspace makes files in a temporary directory and gives its path. A name that ends
// with a slash is a directory.
func workspace(t *testing.T, files map[string]string) string {
	t.Helper()
	// The directory has a name of its own, which tests may give to an input.
	dir := filepath.Join(t.TempDir(), "workspace")
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		parent := filepath.Dir(path)
		if strings.HasSuffix(name, "/") {
			parent = path
		}
		if err := os.MkdirAll(parent, 0o777); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			continue
		}
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const task = `
platform: linux
params: {GREETING: hello, EMPTY: ""}
inputs: [{name: src}, {name: docs, optional: true}]
outputs: [{name: report}]
run: {path: sh, args: [-c, "true"]}
`

func noEnv(string) (string, bool) { return "", false }

// Each wrong request is answered by sentences that say what to do.
func TestWrongRequests(t *testing.T) {
	dir := workspace(t, map[string]string{
		"task.yml":   task,
		"broken.yml": "platform: [",
		"typo.yml":   "platfrom: linux\nrun: {path: true}\n",
		"vars.yml":   "platform: linux\nrun: {path: ((command)), args: [((first.arg))]}\n",
		"tree/file":  "content",
		"a-file":     "content",
		"sub/":       "",
	})
	src := []Mapping{{"src", "tree"}}
	tests := []struct {
		name    string
		request Request
		want    []string // in the message, in this order
	}{
		{"no task file", Request{Config: "nothing.yml"}, []string{"there is no task file nothing.yml; give the path of one with -c"}},
		{"a directory", Request{Config: "sub"}, []string{"sub is a directory; give the path of a task file with -c"}},
		{"not YAML", Request{Config: "broken.yml"}, []string{"broken.yml:1:"}},
		{"unknown field", Request{Config: "typo.yml"}, []string{"typo.yml:1:1:", "platform"}},
		{"undefined variables", Request{Config: "vars.yml"}, []string{"command", "first.arg"}},
		{"no file of variables", Request{Config: "task.yml", VarFiles: []string{"gone.yml"}},
			[]string{"there is no file of variables gone.yml; give the path of one with -l"}},
		{"missing input", Request{Config: "task.yml"}, []string{`the task needs the input "src"; give it with -i src=DIRECTORY`}},
		{"unknown input", Request{Config: "task.yml", Inputs: []Mapping{{"src", "tree"}, {"scr", "tree"}}},
			[]string{`the task has no input "scr"; did you mean "src"?`}},
		{"unlike any input", Request{Config: "task.yml", Inputs: []Mapping{{"src", "tree"}, {"binaries", "tree"}}},
			[]string{`the task has no input "binaries"; it has "src", "docs"`}},
		{"the same input twice", Request{Config: "task.yml", Inputs: []Mapping{{"src", "tree"}, {"src", "sub"}}},
			[]string{`the input "src" is given twice`}},
		{"input that is not there", Request{Config: "task.yml", Inputs: []Mapping{{"src", "trees"}}},
			[]string{`the input "src" cannot be sent: there is no directory trees`}},
		{"input that is a file", Request{Config: "task.yml", Inputs: []Mapping{{"src", "a-file"}}},
			[]string{`the input "src" cannot be sent: a-file is a file, and an input is a directory`}},
		{"optional input that is not there", Request{Config: "task.yml", Inputs: []Mapping{{"src", "tree"}, {"docs", "gone"}}},
			[]string{`the input "docs" cannot be sent: there is no directory gone`}},
		{"unknown output", Request{Config: "task.yml", Inputs: src, Outputs: []Mapping{{"repotr", "out"}}},
			[]string{`the task has no output "repotr"; did you mean "report"?`}},
		{"output into a file", Request{Config: "task.yml", Inputs: src, Outputs: []Mapping{{"report", "a-file"}}},
			[]string{`the output "report" cannot be put into a-file: it is a file`}},
		{"output below a file", Request{Config: "task.yml", Inputs: src, Outputs: []Mapping{{"report", "a-file/x"}}},
			[]string{`the output "report" cannot be put into a-file/x: a part of that path is a file`}},
		{"mapping of an unknown input", Request{Config: "task.yml", Inputs: src, InputMapping: map[string]string{"srcs": "src"}},
			[]string{`the task has no input "srcs"; did you mean "src"?`}},
		{"all at once", Request{Config: "task.yml", Inputs: []Mapping{{"scr", "tree"}}, Outputs: []Mapping{{"x", "out"}}},
			[]string{`needs the input "src"`, `no input "scr"`, `no output "x"`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.request.Directory, test.request.LookupEnv = dir, noEnv
			_, err := Prepare(test.request)
			if err == nil {
				t.Fatal("no error")
			}
			rest := err.Error()
			for _, want := range test.want {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Fatalf("the message\n%s\nlacks %q", err, want)
				}
				rest = after
			}
		})
	}
}

func TestSelectedInputs(t *testing.T) {
	dir := workspace(t, map[string]string{
		"task.yml": task,
		"here.yml": "platform: linux\ninputs: [{name: workspace}]\nrun: {path: pwd}\n",
		"tree/":    "", "other/": "",
	})
	at := func(name string) string { return filepath.Join(dir, name) }
	tests := []struct {
		name    string
		request Request
		want    map[string]string // artifacts and where they are from
		mapping map[string]string
	}{
		{"given", Request{Config: "task.yml", Inputs: []Mapping{{"src", "tree"}}},
			map[string]string{"src": at("tree")}, map[string]string{}},
		{"optional, given", Request{Config: "task.yml", Inputs: []Mapping{{"src", "tree"}, {"docs", at("other")}}},
			map[string]string{"src": at("tree"), "docs": at("other")}, map[string]string{}},
		{"the current directory", Request{Config: "here.yml"},
			map[string]string{"workspace": dir}, map[string]string{}},
		{"given instead of the current directory", Request{Config: "here.yml", Inputs: []Mapping{{"workspace", "tree"}}},
			map[string]string{"workspace": at("tree")}, map[string]string{}},
		{"mapped", Request{Config: "task.yml", Inputs: []Mapping{{"code", "tree"}}, InputMapping: map[string]string{"src": "code"}},
			map[string]string{"code": at("tree")}, map[string]string{"src": "code"}},
		{"two of the same", Request{Config: "task.yml", Inputs: []Mapping{{"code", "tree"}}, InputMapping: map[string]string{"src": "code", "docs": "code"}},
			map[string]string{"code": at("tree")}, map[string]string{"src": "code", "docs": "code"}},
		{"given and mapped", Request{Config: "task.yml", Inputs: []Mapping{{"src", "tree"}}, InputMapping: map[string]string{"src": "code"}},
			map[string]string{"src": at("tree")}, map[string]string{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.request.Directory, test.request.LookupEnv = dir, noEnv
			execution, err := Prepare(test.request)
			if err != nil {
				t.Fatal(err)
			}
			selected := execution.selected
			if len(selected.inputs) != len(test.want) {
				t.Errorf("inputs are %v", selected.inputs)
			}
			for _, input := range selected.inputs {
				if test.want[input.name] != input.path {
					t.Errorf("input %q is from %s", input.name, input.path)
				}
			}
			if len(selected.mapping) != len(test.mapping) {
				t.Errorf("mapping is %v", selected.mapping)
			}
			for name, other := range test.mapping {
				if selected.mapping[name] != other {
					t.Errorf("mapping is %v", selected.mapping)
				}
			}
		})
	}
}

func TestParamsAndArguments(t *testing.T) {
	dir := workspace(t, map[string]string{"task.yml": task, "tree/": ""})
	environment := map[string]string{"GREETING": "hi", "EMPTY": "", "PATH": "/bin"}
	execution, err := Prepare(Request{
		Config: "task.yml", Directory: dir, Inputs: []Mapping{{"src", "tree"}}, Args: []string{"--", "more"},
		LookupEnv: func(name string) (string, bool) { value, ok := environment[name]; return value, ok },
	})
	if err != nil {
		t.Fatal(err)
	}
	params := execution.config.Params
	if len(params) != 2 || params["GREETING"] != "hi" || params["EMPTY"] != "" {
		t.Errorf("params are %v", params)
	}
	if got := strings.Join(execution.config.Run.Args, " "); got != "-c true -- more" {
		t.Errorf("args are %q", got)
	}
}

// A task file or the variables may come from stdin, of which no more is read than tells
// that it is too large.
func TestRequestFromStdin(t *testing.T) {
	dir := workspace(t, map[string]string{"task.yml": "platform: linux\nrun: {path: ((command))}\n"})
	for _, test := range []struct{ config, vars, stdin, want string }{
		{"-", "", "platform: linux\nrun: {path: ls}\n", ""},
		{"task.yml", "-", "command: ls\n", ""},
		{"-", "", "platform: linux\nrun: {path: 1, dir: [ls]}\n", "-:2:21: "},
		{"-", "", strings.Repeat("#", 8<<20), "more than the 1048576 bytes"},
		{"/dev/zero", "", "", "more than the 1048576 bytes"},
	} {
		stdin := strings.NewReader(test.stdin)
		request := Request{Config: test.config, Stdin: stdin, Directory: dir, LookupEnv: noEnv}
		if test.vars != "" {
			request.VarFiles = []string{test.vars}
		}
		execution, err := Prepare(request)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%+v: %v", test, err)
		case test.want == "" && execution.config.Run.Path != "ls":
			t.Errorf("%+v: it runs %q", test, execution.config.Run.Path)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("-c %s of %d bytes: %v, want %q", test.config, len(test.stdin), err, test.want)
		}
		if read := len(test.stdin) - stdin.Len(); read > 2<<20 {
			t.Errorf("%d bytes are read", read)
		}
	}
}

func TestParseMapping(t *testing.T) {
	if m, err := ParseMapping("-i", "PATH", "src=a=b"); err != nil || m != (Mapping{"src", "a=b"}) {
		t.Errorf("%v, %v", m, err)
	}
	for _, text := range []string{"", "src", "src=", "=."} {
		if _, err := ParseMapping("-i", "PATH", text); err == nil || !strings.Contains(err.Error(), "-i NAME=PATH") {
			t.Errorf("ParseMapping(%q) = %v", text, err)
		}
	}
}
