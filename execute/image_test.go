package execute

import (
	"reflect"
	"strings"
	"testing"

	"midge/api"
)

func TestParseReference(t *testing.T) {
	type source = map[string]any
	tests := []struct {
		text    string
		source  source
		version map[string]string
	}{
		{"golang", source{"repository": "golang"}, nil},
		{"golang:1.26", source{"repository": "golang", "tag": "1.26"}, nil},
		{"localhost:5000/a/b", source{"repository": "localhost:5000/a/b"}, nil},
		{"localhost:5000/a/b:x", source{"repository": "localhost:5000/a/b", "tag": "x"}, nil},
		{"a/b@sha256:12", source{"repository": "a/b"}, map[string]string{"digest": "sha256:12"}},
		{"h:1/a:x@sha256:12", source{"repository": "h:1/a", "tag": "x"}, map[string]string{"digest": "sha256:12"}},
	}
	for _, test := range tests {
		got, err := parseReference(test.text)
		want := &api.ImageResource{Type: "registry-image", Source: test.source, Version: test.version}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v; want %+v", test.text, got, err, want)
		}
	}
	for _, text := range []string{":x", "a:", "a b", "a@", "a@sha256", "@sha256:1", `a\b`} {
		if got, err := parseReference(text); err == nil || !strings.Contains(err.Error(), "is not understood") {
			t.Errorf("%q: got %+v, %v; want an error", text, got, err)
		}
	}
}

// The image of the request goes before that of the task file, and its artifact has a
// name that no input has.
func TestImageInThePlan(t *testing.T) {
	dir := workspace(t, map[string]string{
		"task.yml":      "platform: linux\nrootfs_uri: raw:///x\ninputs: [{name: image}]\n",
		"image/rootfs/": "",
		"golang/file":   "",
	})
	prepare := func(image string) (*Execution, error) {
		return Prepare(Request{Config: "task.yml", Directory: dir, LookupEnv: noEnv, Image: image, Inputs: []Mapping{{"image", "image"}}})
	}
	e, err := prepare("./image")
	if err != nil {
		t.Fatal(err)
	}
	plan := e.plan(api.Info{}, map[string]int{"image": 1, "image2": 2})
	var inputs []api.ArtifactInputPlan
	for step := range plan.All() {
		if step.ArtifactInput != nil {
			inputs = append(inputs, *step.ArtifactInput)
		}
		if step.Task != nil && (step.Task.ImageArtifactName != "image2" || step.Task.Config.RootfsURI != "") {
			t.Errorf("the task is %+v", step.Task)
		}
	}
	if want := []api.ArtifactInputPlan{{ArtifactID: 1, Name: "image"}, {ArtifactID: 2, Name: "image2"}}; !reflect.DeepEqual(inputs, want) {
		t.Errorf("the inputs are %+v, want %+v", inputs, want)
	}
	if err := plan.Validate(); err != nil {
		t.Errorf("a task that leaves its command to the image: %v", err)
	}
	// A directory that happens to have an image's name, and is none, does not stand in its way.
	if e, err = prepare("golang"); err != nil || e.config.ImageResource == nil || e.image != "" {
		t.Errorf("got %+v, %v; want the image of a registry", e, err)
	}
	if _, err := prepare("./golang"); err == nil || !strings.Contains(err.Error(), "./golang is no image") {
		t.Errorf("got %v", err)
	}
	if _, err := prepare(""); err == nil || !strings.Contains(err.Error(), "run.path is missing") {
		t.Errorf("without an image: got %v", err)
	}
}
