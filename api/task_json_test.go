package api

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTaskConfigJSON(t *testing.T) {
	const text = `{
		"platform": "linux",
		"image_resource": {"type": "registry-image", "source": {"repository": "a"}, "version": {"digest": "d", "n": 1}},
		"container_limits": {"cpu": "512", "memory": "1GB", "disk": "20GB"},
		"params": {"S": "s", "N": 1.10, "BIG": 12345678901234567890123, "B": true, "NULL": null, "L": [1, "a"], "M": {"b": 1, "a": 1.10}},
		"run": {"path": "a", "args": null},
		"inputs": [{"name": "in", "path": ""}],
		"later": 1
	}`
	var got TaskConfig
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	want := TaskConfig{
		Platform:      "linux",
		ImageResource: &ImageResource{Type: "registry-image", Source: map[string]any{"repository": "a"}, Version: map[string]string{"digest": "d", "n": "1"}},
		Limits:        &ContainerLimits{CPU: pointer[uint64](512), Memory: pointer[uint64](1 << 30), Disk: pointer[uint64](20 << 30)},
		Params: map[string]string{
			"S": "s", "N": "1.10", "BIG": "12345678901234567890123", "B": "true", "NULL": "",
			"L": `[1,"a"]`, "M": `{"a":1.10,"b":1}`,
		},
		Run:    TaskRun{Path: "a"},
		Inputs: []TaskInput{{Name: "in"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("config differs (-want +got):\n%s", diff)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
}

func TestTaskConfigJSONReplaces(t *testing.T) {
	config := TaskConfig{Platform: "linux", Params: map[string]string{"A": "1"}}
	if err := json.Unmarshal([]byte(`{"run":{"path":"a"}}`), &config); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(TaskConfig{Run: TaskRun{Path: "a"}}, config); diff != "" {
		t.Errorf("config differs (-want +got):\n%s", diff)
	}
}

func TestTaskConfigJSONErrors(t *testing.T) {
	tests := []struct{ text, want string }{
		{`{"container_limits":{"memory":"much"}}`, `container_limits.memory: "much" is no amount of memory`},
		{`{"container_limits":{"memory":1.5}}`, `container_limits.memory: "1.5" is no amount of memory`},
		{`{"container_limits":{"disk":"all"}}`, `container_limits.disk: "all" is no amount of disk space`},
		{`{"container_limits":{"cpu":-1}}`, `container_limits.cpu: "-1" is no number of CPU shares`},
		{`{"container_limits":[]}`, "cannot unmarshal array"},
		{`{"params":[]}`, "cannot unmarshal array"},
		{`{"image_resource":1}`, "cannot unmarshal number"},
	}
	for _, test := range tests {
		var config TaskConfig
		if err := json.Unmarshal([]byte(test.text), &config); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s gives %v, want an error with %q", test.text, err, test.want)
		}
	}
}

func TestValidateWithoutPlaces(t *testing.T) {
	err := TaskConfig{Run: TaskRun{Path: "a"}, Outputs: []TaskOutput{{}, {Name: "a/.."}}}.Validate()
	want := "platform: platform is missing: say what the task runs on, most often \"platform: linux\"\n" +
		"outputs[0].name: output 1 has no name\n" +
		"outputs[1].name: the path of the output is \"a/..\": a path may not have .. in it"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func FuzzParseTaskConfig(f *testing.F) {
	f.Add([]byte("platform: linux\nimage_resource: {type: registry-image, source: {repository: a}}\nparams: {A: 1, B: ((b))}\nrun: {path: sh, args: [-c, \"x((a))\"]}\ninputs: [{name: a, path: /b}]\n"))
	f.Add([]byte("platform: &a linux\nrun: &r\n  path: *a\n<<: *r\ncaches: [{path: !!str 1}]\n"))
	f.Add([]byte("? platform\n: linux\nrun: {path: a}\ncontainer_limits: {cpu: 0x10, memory: 1GB}\nparams: {A: [1, .nan, {b: ~}]}\n"))
	f.Add([]byte("a: |\n  b\n--- \nc: 'd'\n...\n"))
	variables := NewVariables(map[string]any{"a": "text", "b": map[string]any{"c": 1.5}})
	f.Fuzz(func(t *testing.T, data []byte) {
		config, err := ParseTaskConfig("task.yml", data, variables)
		if err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.HasPrefix(line, "task.yml:") {
					t.Errorf("the line %q of an error has no place", line)
				}
			}
			return
		}
		if err := config.Validate(); err != nil {
			t.Errorf("a config that was parsed is refused: %v", err)
		}
		encoded, err := json.Marshal(config)
		if err != nil {
			t.Fatalf("config %+v cannot be encoded: %v", config, err)
		}
		var again TaskConfig
		if err := json.Unmarshal(encoded, &again); err != nil {
			t.Errorf("config %s cannot be read again: %v", encoded, err)
		}
	})
}

func FuzzInterpolate(f *testing.F) {
	f.Add("((a))", "x")
	f.Add("a: ((.:a.\"b.c\")) ((source:x))", "{b.c: 1}")
	f.Add("((((a))))", "((a))")
	f.Fuzz(func(t *testing.T, file, value string) {
		variables, err := ParseVariables([]string{"a=" + value}, nil, []VariablesFile{{"vars.yml", []byte(value)}})
		if err != nil {
			variables = Variables{}
		}
		problems := &problems{file: "f"}
		root := parseYAML(problems, []byte(file))
		if root == nil {
			return
		}
		before := root.size
		got := interpolate(root, variables, problems)
		if problems.err() == nil && got.size < before {
			t.Errorf("%q has %d values, and %d once its variables are replaced", file, before, got.size)
		}
	})
}
