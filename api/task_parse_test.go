package api

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func pointer[T any](v T) *T { return &v }

func TestParseTaskConfig(t *testing.T) {
	tests := []struct {
		name, file string
		want       TaskConfig
	}{
		{
			name: "everything",
			file: `---
platform: linux
rootfs_uri: raw:///images/busybox
image_resource:
  name: base
  type: registry-image
  source: {repository: golang, tag: "1.26", insecure: true, retries: 3}
  params: {format: oci}
  version: {digest: sha256:abc, number: 7}
  tags: [a]
container_limits: {cpu: 512, memory: 1GB, disk: 20GB}
params:
  TEXT: some text
run:
  path: /bin/sh
  args: [-ec, "go test"]
  dir: src
  user: nobody
inputs:
- name: src
- {name: ci, path: /opt/ci, optional: true}
outputs:
- name: out
  path: build/out
caches:
- path: cache
`,
			want: TaskConfig{
				Platform:  "linux",
				RootfsURI: "raw:///images/busybox",
				ImageResource: &ImageResource{
					Name: "base", Type: "registry-image",
					Source:  map[string]any{"repository": "golang", "tag": "1.26", "insecure": true, "retries": uint64(3)},
					Params:  map[string]any{"format": "oci"},
					Version: map[string]string{"digest": "sha256:abc", "number": "7"},
					Tags:    []string{"a"},
				},
				Limits:  &ContainerLimits{CPU: pointer[uint64](512), Memory: pointer[uint64](1 << 30), Disk: pointer[uint64](20 << 30)},
				Params:  map[string]string{"TEXT": "some text"},
				Run:     TaskRun{Path: "/bin/sh", Args: []string{"-ec", "go test"}, Dir: "src", User: "nobody"},
				Inputs:  []TaskInput{{Name: "src"}, {Name: "ci", Path: "/opt/ci", Optional: true}},
				Outputs: []TaskOutput{{Name: "out", Path: "build/out"}},
				Caches:  []TaskCache{{Path: "cache"}},
			},
		},
		{
			name: "params of every type",
			file: `
platform: linux
run: {path: env}
params:
  STRING: a
  QUOTED: "1.10"
  INT: 12
  NEGATIVE: -3
  BIG: 18446744073709551615
  HUGE: 123456789012345678901234567890
  FLOAT: 1.5
  YES: yes
  BOOL: true
  NULL:
  TILDE: ~
  LIST: [1, "two", false]
  MAP: {b: 1, a: {c: null}}
  BLOCK: |
    one
    two
  FOLDED: >-
    one
    two
  TAGGED: !!str 012
  INFINITE: .inf
  INFINITIES: [.inf]
  8080: port
`,
			want: TaskConfig{Platform: "linux", Run: TaskRun{Path: "env"}, Params: map[string]string{
				"STRING": "a", "QUOTED": "1.10", "INT": "12", "NEGATIVE": "-3", "BIG": "18446744073709551615",
				"HUGE": "123456789012345678901234567890", "FLOAT": "1.5", "YES": "yes", "BOOL": "true", "NULL": "", "TILDE": "",
				"LIST": `[1,"two",false]`, "MAP": `{"a":{"c":null},"b":1}`, "BLOCK": "one\ntwo\n", "FOLDED": "one two",
				"TAGGED": "012", "INFINITE": ".inf", "INFINITIES": `[".inf"]`, "8080": "port",
			}},
		},
		{
			name: "scalars where text is expected",
			file: "platform: linux\nrun: {path: echo, args: [1, true, 1.5, ~, text], user: 1000}\n",
			want: TaskConfig{Platform: "linux", Run: TaskRun{Path: "echo", Args: []string{"1", "true", "1.5", "", "text"}, User: "1000"}},
		},
		{
			name: "anchors and merge keys",
			file: `
platform: linux
params: &common {A: 1, B: 2}
image_resource: &image
  type: registry-image
  source: &source {repository: busybox}
run:
  path: &path /bin/true
  args: [*path]
inputs:
- &input {name: a, optional: true}
- {<<: *input, name: b}
- <<: [{name: c}, {name: d, path: e}]
`,
			want: TaskConfig{
				Platform: "linux", Params: map[string]string{"A": "1", "B": "2"},
				ImageResource: &ImageResource{Type: "registry-image", Source: map[string]any{"repository": "busybox"}},
				Run:           TaskRun{Path: "/bin/true", Args: []string{"/bin/true"}},
				Inputs:        []TaskInput{{Name: "a", Optional: true}, {Name: "b", Optional: true}, {Name: "c", Path: "e"}},
			},
		},
		{
			name: "an image's own command",
			file: "platform: linux\nimage_resource: {type: registry-image, source: {repository: a}}\n",
			want: TaskConfig{Platform: "linux", ImageResource: &ImageResource{Type: "registry-image", Source: map[string]any{"repository": "a"}}},
		},
		{
			name: "an output where an input is",
			file: "platform: linux\nrun: {path: a}\ninputs: [{name: src}]\noutputs: [{name: src}]\n",
			want: TaskConfig{Platform: "linux", Run: TaskRun{Path: "a"}, Inputs: []TaskInput{{Name: "src"}}, Outputs: []TaskOutput{{Name: "src"}}},
		},
		{
			name: "empty fields, a byte order mark, Windows' line ends",
			file: "\uFEFFplatform: linux\r\ninputs:\r\noutputs: ~\r\ncaches: []\r\nparams:\r\nimage_resource:\r\ncontainer_limits: {memory: }\r\nrun:\r\n  path: a\r\n",
			want: TaskConfig{Platform: "linux", Run: TaskRun{Path: "a"}, Limits: &ContainerLimits{}, Caches: []TaskCache{}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseTaskConfig("task.yml", []byte(test.file), Variables{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("config differs (-want +got):\n%s", diff)
			}
		})
	}
}

// deepList nests lists by indentation, which no sign counts.
func deepList(depth int) string {
	var b strings.Builder
	for i := range depth {
		b.WriteString(strings.Repeat(" ", i) + "-\n")
	}
	return b.String()
}

func TestParseTaskConfigErrors(t *testing.T) {
	const valid = "platform: linux\nrun: {path: a}\n"
	tests := []struct {
		name, file string
		want       []string // the lines of the error, as far as they are given
	}{
		{"empty", "", []string{"task.yml:1:1: the file is empty"}},
		{"comments alone", "# nothing\n", []string{"task.yml:1:1: the file is empty"}},
		{"not YAML", "platform: [linux\n", []string{"task.yml:1:11: this is not YAML: sequence end token ']' not found"}},
		{"a tab", "run:\n\tpath: a\n", []string{"task.yml:2:1: this is not YAML: a tab is here, and lines are indented by spaces"}},
		{"a binary", "\x7fELF\x02\xff", []string{"task.yml:1:6: this is not UTF-8 text"}},
		{"bad bytes on a later line", "platform: linux\nrun: {path: \xff}\n", []string{"task.yml:2:13: this is not UTF-8 text"}},
		{"a string", "just words", []string{"task.yml:1:1: a task file must be a map, and is a string"}},
		{"a list", "- platform: linux", []string{"task.yml:1:1: a task file must be a map, and is a list"}},
		{"too large", valid + "# " + strings.Repeat("x", 1<<20), []string{"task.yml:1:1: the file has more than the 1048576 bytes that are read"}},
		{"two documents", valid + "---\n" + valid, []string{"task.yml:4:1: a second document begins here"}},
		{"too many values", valid + "params: {LIST: [" + strings.Repeat("1,", 40_000) + "]}", []string{"task.yml:1:1: the file has more than 60000 values and signs"}},
		{"too deep in brackets", strings.Repeat("[", 50_000), []string{"task.yml:1:101: lists and maps are nested more than 100 deep"}},
		{"too deep in dashes", strings.Repeat("- ", 50_000), []string{"task.yml:1:201: lists and maps are nested more than 100 deep"}},
		{"too deep in colons", strings.Repeat("a: ", 20_000), []string{"task.yml:1:302: lists and maps are nested more than 100 deep"}},
		{"too deep in indentation", deepList(200), []string{"task.yml:101:101: lists and maps are nested more than 100 deep"}},
		{"aliases that double", "a: &a [1, 2]\nb: &b [*a, *a]\nc: &c [*b, *b]\n" + doubling(20), []string{"task.yml:1:1: the file has more than 100000 values once its aliases are followed"}},
		{"alias of nothing", valid + "params: *nowhere\n", []string{"task.yml:3:9: no anchor &nowhere comes before this alias"}},
		{"alias of itself", valid + "params: &p {A: *p}\n", []string{"task.yml:3:16: no anchor &p comes before this alias"}},
		{"a merge of text", valid + "params: {<<: text}\n", []string{"task.yml:3:10: << merges a map, and this is a string"}},
		{"a tag", valid + "params: {A: !secret x}\n", []string{"task.yml:3:13: the tag !secret is not understood here: remove it"}},
		{"a field twice", valid + "platform: darwin\n", []string{`task.yml:3:1: "platform" is here a second time; the first is on line 1`}},
		{"a pipeline", "resources: []\njobs:\n- name: unit\n", []string{"task.yml:1:1: this is a pipeline, and not a task: give a file that has"}},
		{"a job", "name: unit\nplan:\n- get: code\n", []string{"task.yml:2:1: this is a job of a pipeline, and not a task"}},
		{"a step", "task: unit\nconfig: {platform: linux}\n", []string{"task.yml:1:1: this is a step of a pipeline, and not a task: give its file, or one with what is below its config"}},
		{
			"unknown fields, nearest names, and others together",
			"platfrom: linux\nrun:\n  pth: a\n  argz: [b]\nimputs: [{nmae: src}]\nzebra: 1\n",
			[]string{
				`task.yml:1:1: unknown field "platfrom": did you mean "platform"?`,
				`task.yml:1:1: platform is missing: say what the task runs on, most often "platform: linux"`,
				`task.yml:3:3: unknown field "pth" in run: did you mean "path"?`,
				`task.yml:3:3: run.path is missing: say which executable to run`,
				`task.yml:4:3: unknown field "argz" in run: did you mean "args"?`,
				`task.yml:5:1: unknown field "imputs": did you mean "inputs"?`,
				`task.yml:6:1: unknown field "zebra": the fields here are platform, image_resource,`,
			},
		},
		{
			"mistyped fields",
			"platform: [linux]\nrun: a\ninputs: src\noutputs: [out]\nparams: [A]\ncontainer_limits: {cpu: lots, memory: 5XB}\nimage_resource: {type: {}, source: text}\ncaches: [{path: [a]}]\n",
			[]string{
				"task.yml:1:11: platform must be a string, and is a list",
				"task.yml:2:6: run must be a map, and is a string",
				"task.yml:3:9: inputs must be a list, and is a string",
				"task.yml:4:11: outputs[0] must be a map, and is a string",
				"task.yml:5:9: params must be a map, and is a list",
				`task.yml:6:25: container_limits.cpu: "lots" is no number of CPU shares`,
				`task.yml:6:39: container_limits.memory: "5XB" is no amount of memory`,
				"task.yml:7:24: image_resource.type must be a string, and is a map",
				"task.yml:7:36: image_resource.source must be a map, and is a string",
				"task.yml:8:17: caches[0].path must be a string, and is a list",
			},
		},
		{
			"more mistyped fields",
			valid + "inputs: [{name: a, optional: maybe}]\ncontainer_limits: {cpu: true, memory: -1}\n",
			[]string{
				"task.yml:3:30: inputs[0].optional must be true or false, and is a string",
				"task.yml:4:25: container_limits.cpu must be a number, and is a boolean",
				`task.yml:4:39: container_limits.memory: "-1" is no amount of memory`,
			},
		},
		{
			"an image that is not one",
			valid + "image_resource: {name: a}\n",
			[]string{
				"task.yml:3:18: image_resource.type is missing",
				"task.yml:3:18: image_resource.source is missing",
			},
		},
		{
			"names and paths",
			"platform: linux\nrun: {path: a, dir: ../up}\ninputs:\n- path: x\n- name: a\n- name: a\n  path: b\n- name: c\n  path: ./b/\n- name: ../out\noutputs:\n- name: o\n  path: /\n- name: p\n  path: x/../../y\ncaches:\n- path: b\n- {}\n",
			[]string{
				`task.yml:2:21: run.dir is "../up": a path may not have .. in it`,
				`task.yml:4:3: input 1 has no name`,
				`task.yml:6:9: "a" is the name of two inputs`,
				`task.yml:9:9: the path "./b/" of this input is that of the input at inputs[2] too`,
				`task.yml:10:9: the path of the input is "../out": a path may not have .. in it`,
				`task.yml:13:9: the path of the output is "/", all of the container`,
				`task.yml:15:9: the path of the output is "x/../../y": a path may not have .. in it`,
				`task.yml:17:9: the path "b" of this cache is that of the input at inputs[2] too`,
				`task.yml:18:3: caches[1].path is missing`,
			},
		},
		{
			"what no process can be given",
			"platform: linux\nrun: {path: a, args: [\"a\\0b\"]}\nparams: {\"A=B\": x, C: \"\\0\"}\ninputs: [{name: \"a\\eb\"}]\ncontainer_limits: {memory: 512, disk: 10}\n",
			[]string{
				"task.yml:2:23: run.args[0] has a NUL character in it",
				`task.yml:3:10: "A=B" cannot be the name of a param`,
				"task.yml:3:20: the param C has a NUL character in it",
				"task.yml:4:17: the name of the input \"a\\x1bb\" has control characters in it",
				"task.yml:5:28: container_limits.memory is 512 bytes, too little for any process: did you mean 512MB?",
				"task.yml:5:39: container_limits.disk is 10 bytes, too little for the files of a task: did you mean 10MB?",
			},
		},
		{
			"undefined variables, with all else",
			"platform: ((platform))\nrun:\n  path: ((a.b))/bin\n  args: [((.:c)), $((i)), ((\"x.y\".z))]\nparams: ((params))\nimage_resource: {type: ((t)), source: ((s))}\nfoo: 1\n",
			[]string{
				"task.yml:1:11: undefined variable ((platform)): give it with -v platform=VALUE, -y or -l",
				"task.yml:3:9: undefined variable ((a.b)): give it with",
				"task.yml:4:10: undefined variable ((.:c)): give it with -v .:c=VALUE",
				"task.yml:4:19: undefined variable ((i)): give it with -v i=VALUE, -y or -l (for a shell's arithmetic put spaces inside the parentheses)",
				`task.yml:4:27: undefined variable (("x.y".z)): give it`,
				"task.yml:5:9: undefined variable ((params))",
				"task.yml:6:24: undefined variable ((t))",
				"task.yml:6:39: undefined variable ((s))",
				`task.yml:7:1: unknown field "foo"`,
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			config, err := ParseTaskConfig("task.yml", []byte(test.file), Variables{})
			var configError *ConfigError
			if !errors.As(err, &configError) {
				t.Fatalf("got config %+v and error %v, want a *ConfigError", config, err)
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(test.want) {
				t.Fatalf("got %d problems, want %d:\n%v", len(lines), len(test.want), err)
			}
			for i, want := range test.want {
				if !strings.HasPrefix(lines[i], want) {
					t.Errorf("problem %d is\n\t%s\nwant it to begin with\n\t%s", i, lines[i], want)
				}
			}
		})
	}
}

// doubling makes maps of aliases, each of twice the last.
func doubling(times int) string {
	var b strings.Builder
	for i := range times {
		from, to := string(rune('c'+i)), string(rune('d'+i))
		b.WriteString(to + ": &" + to + " [*" + from + ", *" + from + "]\n")
	}
	return b.String()
}

func TestParseMemory(t *testing.T) {
	tests := []struct {
		text string
		want uint64 // 0: an error
	}{
		{"1048576", 1 << 20}, {"1024kb", 1 << 20}, {"512MB", 512 << 20}, {"512mb", 512 << 20}, {"512M", 512 << 20},
		{"1GB", 1 << 30}, {"1g", 1 << 30}, {"1GiB", 1 << 30}, {"2T", 2 << 40}, {"100b", 100}, {" 1 ", 1},
		{"", 0}, {"GB", 0}, {"1.5GB", 0}, {"-1", 0}, {"1 GB", 0}, {"1XB", 0}, {"1GBs", 0}, {"9999999999999999999999", 0}, {"9999999999GB", 0},
	}
	for _, test := range tests {
		got, err := ParseMemory(test.text)
		if got != test.want || (err == nil) != (test.want != 0) {
			t.Errorf("ParseMemory(%q) = %d, %v, want %d", test.text, got, err, test.want)
		}
	}
}

// TestDocumentedTasks parses the examples of docs/tasks.md.
func TestDocumentedTasks(t *testing.T) {
	page, err := os.ReadFile("../docs/tasks.md")
	if err != nil {
		t.Fatal(err)
	}
	variables, err := ParseVariables([]string{"go=1.26"}, []string{"registry={host: registry.example, port: 5000}", ".:mode=fast"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, part := range strings.Split(string(page), "```yaml\n")[1:] {
		example, _, _ := strings.Cut(part, "```")
		count++
		if _, err := ParseTaskConfig("docs/tasks.md", []byte(example), variables); err != nil {
			t.Errorf("example %d:\n%s\n%v", count, example, err)
		}
	}
	if count < 3 {
		t.Errorf("found %d examples in docs/tasks.md, want at least 3", count)
	}
}
