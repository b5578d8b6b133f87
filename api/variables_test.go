package api

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseReference(t *testing.T) {
	tests := []struct {
		text string
		want Reference
		back string // what String gives, "" when it is text
	}{
		{"hello", Reference{Name: "hello"}, ""},
		{"hello.a.b", Reference{Name: "hello", Fields: []string{"a", "b"}}, ""},
		{`"hello.world"."a.b"."foo:bar"`, Reference{Name: "hello.world", Fields: []string{"a.b", "foo:bar"}}, ""},
		{`"hello.world".a."foo:bar"`, Reference{Name: "hello.world", Fields: []string{"a", "foo:bar"}}, ""},
		{"source:hello", Reference{Source: "source", Name: "hello"}, ""},
		{".:hello.a", Reference{Source: ".", Name: "hello", Fields: []string{"a"}}, ""},
		{`foo:"with.dot:colon".buzz`, Reference{Source: "foo", Name: "with.dot:colon", Fields: []string{"buzz"}}, ""},
		{`"my:path"."field.1"`, Reference{Name: "my:path", Fields: []string{"field.1"}}, ""},
		{"hello .world ", Reference{Name: "hello", Fields: []string{"world"}}, "hello.world"},
		{`" hello "."world "`, Reference{Name: " hello ", Fields: []string{"world "}}, ""},
	}
	for _, test := range tests {
		got, err := ParseReference(test.text)
		if err != nil {
			t.Errorf("ParseReference(%q): %v", test.text, err)
			continue
		}
		if len(got.Fields) == 0 {
			got.Fields = nil
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("ParseReference(%q) differs (-want +got):\n%s", test.text, diff)
		}
		want := test.back
		if want == "" {
			want = test.text
		}
		if back := got.String(); back != want {
			t.Errorf("ParseReference(%q).String() = %q, want %q", test.text, back, want)
		}
	}
}

func TestParseReferenceErrors(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", "a part of its name is empty"},
		{"a.", "a part of its name is empty"},
		{"vault:.field", "a part of its name is empty"},
		{`vault:"".field`, "a part of its name is empty"},
		{"vault:", "a part of its name is empty"},
		{`"some-source":path`, "a dot must follow a quoted part"},
		{`"a`, "a quote is not closed"},
		{`a"b"`, "a quote stands in the middle of a part"},
		{"a:b:c", "a part with a colon in it must be quoted"},
	}
	for _, test := range tests {
		if got, err := ParseReference(test.text); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("ParseReference(%q) = %+v, %v, want an error with %q", test.text, got, err, test.want)
		}
	}
}

func TestVariables(t *testing.T) {
	variables, err := ParseVariables(
		[]string{"text=a=b", "empty=", "number=12", "nested.one=1", "nested.two.deep=2", `"dotted.name"=d`, "vault:secret=s", ".:local=l", "over=second", "over=third"},
		[]string{"list=[1, two]", "map={a: {b: 3}}", "nested.three=3", "null=", "flag=true", "float=1.5", "inject={a: b}", "over2=yaml"},
		[]VariablesFile{
			{"first.yml", []byte("over: file\nfrom: first\nshared: first\nmap: {z: hidden}\n")},
			{"second.yml", []byte("shared: second\n")},
			{"empty.yml", nil},
		},
	)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		file string
		want any
	}{
		{"((text))", "a=b"},
		{"((empty))", ""},
		{"((number))", "12"},
		{"((nested))", map[string]any{"one": "1", "two": map[string]any{"deep": "2"}, "three": uint64(3)}},
		{"((nested.two.deep))", "2"},
		{`(("dotted.name"))`, "d"},
		{"((vault:secret))", "s"},
		{"((.:local))", "l"},
		{"((over))", "third"},
		{"((from)) ((shared))", "first second"},
		{"((list))", []any{uint64(1), "two"}},
		{"[((map.a.b)), x]", []any{uint64(3), "x"}},
		{"((null))", nil},
		{"((flag))", true},
		{"a ((flag)) ((float)) ((map.a.b)) ((empty))z", "a true 1.5 3 z"},
		{"((from))_key: ((inject))", map[string]any{"first_key": map[string]any{"a": "b"}}},
		{"'x: ((text)), ((number))'", "x: a=b, 12"},
		{"(() (( a )) ((a b)) $(( i + 1 )) (())", "(() (( a )) ((a b)) $(( i + 1 )) (())"},
		{"12", uint64(12)},
	}
	for _, test := range tests {
		problems := &problems{file: "f"}
		got := interpolate(parseYAML(problems, []byte(test.file)), variables, problems)
		if err := problems.err(); err != nil {
			t.Errorf("interpolate %q: %v", test.file, err)
			continue
		}
		if diff := cmp.Diff(test.want, got.decoded()); diff != "" {
			t.Errorf("interpolate %q differs (-want +got):\n%s", test.file, diff)
		}
	}
}

func TestInterpolateErrors(t *testing.T) {
	variables, err := ParseVariables([]string{"text=t", "again=((text))"}, []string{"map={a: 1}", "null="}, nil)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ file, want string }{
		{"a: x\nb: [((one)), ((two)), ((one))]", "f:2:5: undefined variable ((one)): give it with -v one=VALUE, -y or -l\n" +
			"f:2:14: undefined variable ((two)): give it with -v two=VALUE, -y or -l\n" +
			"f:2:23: undefined variable ((one)): give it with -v one=VALUE, -y or -l"},
		{"((map.b))", `f:1:1: ((map)) has no field "b"`},
		{"((map.a.c))", `f:1:1: ((map.a)) is no map, so it has no field "c"`},
		{"x((map))", "f:1:1: ((map)) is a map, and cannot stand within a string"},
		{"x((null))", "f:1:1: ((null)) is empty, and cannot stand within a string"},
		{"((source:text))", "f:1:1: undefined variable ((source:text)): give it with -v source:text=VALUE, -y or -l"},
		{"((a..b))", `f:1:1: the variable "a..b": a part of its name is empty`},
		{"((again))", ""},
	}
	for _, test := range tests {
		problems := &problems{file: "f"}
		interpolate(parseYAML(problems, []byte(test.file)), variables, problems)
		got := ""
		if err := problems.err(); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("interpolate %q:\n%s\nwant\n%s", test.file, got, test.want)
		}
	}
}

func TestInterpolateIsBounded(t *testing.T) {
	variables, err := ParseVariables(nil, []string{"big=[" + strings.Repeat("x,", 10_000) + "]"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	problems := &problems{file: "f"}
	got := interpolate(parseYAML(problems, []byte("["+strings.Repeat("((big)),", 5000)+"]")), variables, problems)
	if err := problems.err(); err == nil || !strings.Contains(err.Error(), "more than 100000 values once the variables are replaced") {
		t.Errorf("got %d values and the error %v", got.size, err)
	}
}

func TestParseVariablesErrors(t *testing.T) {
	_, err := ParseVariables(
		[]string{"a", "=b", "c=1", "c.d=2", `"x=1`, "e.f=1", "e.f.g=2"},
		[]string{"y", "z=[", "w={a: 1, a: 2}"},
		[]VariablesFile{{"list.yml", []byte("- a")}, {"bad.yml", []byte("a: b: c")}, {"text.yml", []byte("a")}},
	)
	if err == nil {
		t.Fatal("no error")
	}
	want := []string{
		"-v a has no =: write NAME=VALUE",
		`-v : the variable "": a part of its name is empty`,
		"the variable c.d is given both a value and a field",
		`-v "x=1 has no =: write NAME=VALUE`,
		"the variable e.f.g is given both a value and a field",
		"-y y has no =: write NAME=VALUE",
		"-y z:1:1: this is not YAML: sequence end token ']' not found",
		`-y w:1:8: "a" is here a second time; the first is on line 1`,
		"list.yml:1:1: a file of variables must be a map of names to values, and is a list",
		"bad.yml:1:4: this is not YAML: mapping value is not allowed in this context",
		"text.yml:1:1: a file of variables must be a map of names to values, and is a string",
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("errors differ (-want +got):\n%s", diff)
	}
}

func TestTaskConfigInterpolate(t *testing.T) {
	config := TaskConfig{
		Platform:      "linux",
		ImageResource: &ImageResource{Type: "registry-image", Source: map[string]any{"repository": "((image))", "insecure": "((insecure))"}},
		Limits:        &ContainerLimits{Memory: pointer[uint64](1 << 53)},
		Params:        map[string]string{"A": "((.:a))", "NUMBER": "12", "LIST": "((list))"},
		Run:           TaskRun{Path: "sh", Args: []string{"((image))"}},
	}
	got, err := config.Interpolate(NewVariables(map[string]any{"image": "busybox", "insecure": true, "a": "1", "list": []any{1.5}}))
	if err != nil {
		t.Fatal(err)
	}
	want := TaskConfig{
		Platform:      "linux",
		ImageResource: &ImageResource{Type: "registry-image", Source: map[string]any{"repository": "busybox", "insecure": true}},
		Limits:        &ContainerLimits{Memory: pointer[uint64](1 << 53)},
		Params:        map[string]string{"A": "1", "NUMBER": "12", "LIST": "[1.5]"},
		Run:           TaskRun{Path: "sh", Args: []string{"busybox"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("config differs (-want +got):\n%s", diff)
	}
	_, err = config.Interpolate(Variables{})
	if err == nil || strings.Count(err.Error(), "undefined variable") != 5 {
		t.Errorf("without variables got %v, want 5 undefined variables", err)
	}
}

func TestOverrideParams(t *testing.T) {
	params := map[string]string{"A": "1", "B": "2", "C": "3"}
	environment := map[string]string{"A": "", "B": "two", "D": "4"}
	got := OverrideParams(params, func(name string) (string, bool) {
		value, ok := environment[name]
		return value, ok
	})
	if diff := cmp.Diff(map[string]string{"A": "", "B": "two", "C": "3"}, got); diff != "" {
		t.Errorf("params differ (-want +got):\n%s", diff)
	}
	if params["B"] != "2" {
		t.Error("the params given were changed")
	}
	if OverrideParams(nil, nil) != nil {
		t.Error("nil did not stay nil")
	}
}
