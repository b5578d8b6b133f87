package execute

import (
	"encoding/json"
	"strings"
	"testing"

	"midge/api"
	"midge/client"
	"midge/client/clienttest"
)

// jobExchanges are those of a Concourse that is asked for a job's inputs.
func jobExchanges(inputs, types string) []clienttest.Exchange {
	authorized := map[string]string{"Authorization": "Bearer <token>"}
	answer := map[string]string{"Content-Type": "application/json", "X-Concourse-Version": "8.0.0"}
	return []clienttest.Exchange{
		{Method: "GET", Target: "/api/v1/teams/main/pipelines/site/jobs/unit/inputs", RequestHeader: authorized, Status: 200, Header: answer, Body: inputs},
		{Method: "GET", Target: "/api/v1/teams/main/pipelines/site/resource-types", RequestHeader: authorized, Status: 200, Header: answer, Body: types},
	}
}

const (
	jobInputs = `[
		{"name": "repo", "resource": "code", "type": "git", "source": {"uri": "https://example.com/code"},
		 "params": {"depth": 1}, "version": {"ref": "abc"}, "tags": ["t1"]},
		{"name": "assets", "resource": "s3-assets", "type": "bucket", "source": {"name": "assets"}, "version": {"path": "a.tgz"}},
		{"name": "image", "resource": "go", "type": "registry-image", "source": {"repository": "golang"}, "version": {"digest": "sha256:1"}}
	]`
	jobTypes = `[
		{"name": "bucket", "type": "mirrored", "source": {"repository": "bucket-resource"}, "privileged": true, "params": {"p": 1}},
		{"name": "mirrored", "type": "registry-image", "source": {"repository": "mirror"}, "check_every": "1h0m0s", "tags": ["t2"]}
	]`
	jobTask = `
platform: linux
rootfs_uri: raw:///images/busybox/rootfs
inputs: [{name: src}, {name: assets}, {name: extra, optional: true}]
run: {path: ls}
`
)

// jobPlan is what fly sends: the two inputs that come from the job are fetched with the
// plans for the image of their type, and the types are there for the task's own.
const jobPlan = `{"do": [
	{"in_parallel": {"steps": [
		{"get": {"name": "repo", "type": "git", "source": {"uri": "https://example.com/code"}, "params": {"depth": 1},
			"version": {"ref": "abc"}, "tags": ["t1"], "image": {"base_type": "git"}}},
		{"get": {"name": "assets", "type": "bucket", "source": {"name": "assets"}, "version": {"path": "a.tgz"}, "image": {
			"base_type": "registry-image", "privileged": true,
			"check_plan": {"check": {"name": "bucket", "type": "mirrored", "source": {"repository": "bucket-resource"}, "resource_type": "bucket",
				"interval": "1m0s", "image": {"base_type": "registry-image",
					"check_plan": {"check": {"name": "mirrored", "type": "registry-image", "source": {"repository": "mirror"}, "resource_type": "mirrored",
						"interval": "1h0m0s", "tags": ["t2"], "image": {"base_type": "registry-image"}}},
					"get_plan": {"get": {"name": "mirrored", "type": "registry-image", "source": {"repository": "mirror"}, "tags": ["t2"],
						"version_from": "4/image-check/image-check", "image": {"base_type": "registry-image"}}}}}},
			"get_plan": {"get": {"name": "bucket", "type": "mirrored", "source": {"repository": "bucket-resource"}, "params": {"p": 1},
				"version_from": "4/image-check", "image": {"base_type": "registry-image",
					"check_plan": {"check": {"name": "mirrored", "type": "registry-image", "source": {"repository": "mirror"}, "resource_type": "mirrored",
						"interval": "1h0m0s", "tags": ["t2"], "image": {"base_type": "registry-image"}}},
					"get_plan": {"get": {"name": "mirrored", "type": "registry-image", "source": {"repository": "mirror"}, "tags": ["t2"],
						"version_from": "4/image-get/image-check", "image": {"base_type": "registry-image"}}}}}}}}}
	]}},
	{"task": {"name": "one-off", "privileged": false, "hermetic": false, "input_mapping": {"src": "repo"},
		"config": {"platform": "linux", "image_resource": {"type": "registry-image", "source": {"repository": "golang"}, "version": {"digest": "sha256:1"}},
			"inputs": [{"name": "src"}, {"name": "assets"}, {"name": "extra", "optional": true}], "run": {"path": "ls"}},
		"resource_types": [
			{"name": "bucket", "type": "mirrored", "source": {"repository": "bucket-resource"}, "privileged": true, "params": {"p": 1}},
			{"name": "mirrored", "type": "registry-image", "source": {"repository": "mirror"}, "check_every": "1h0m0s", "tags": ["t2"]}
		]}}
]}`

// jobClient gives a client of a Concourse that answers as exchanges say.
func jobClient(t *testing.T, exchanges []clienttest.Exchange) *client.Client {
	t.Helper()
	server := clienttest.Replay(t, exchanges)
	c, err := client.New(client.Options{URL: server.URL, Token: clienttest.Token})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// The inputs that are not given are those of a job, and the build belongs to its pipeline.
func TestInputsFromAJob(t *testing.T) {
	dir := workspace(t, map[string]string{"task.yml": jobTask})
	info := clienttest.Read(t, "login.txt", "login -c URL -u USER -p PASSWORD")[0]
	events := clienttest.Read(t, "execute.txt", "abort")[2]
	exchanges := append(jobExchanges(jobInputs, jobTypes), info, clienttest.Exchange{
		Method: "POST", Target: "/api/v1/teams/main/pipelines/site/builds", RequestBody: jobPlan,
		Status: 201, Body: `{"id": 29, "team_name": "main", "name": "29", "status": "started", "api_url": "/api/v1/builds/29", "pipeline_name": "site"}`,
	}, events)
	c := jobClient(t, exchanges)
	execution, err := FromJob(t.Context(), c, "site", "unit", Request{
		Config: "task.yml", Directory: dir, LookupEnv: noEnv, Image: "image", InputMapping: map[string]string{"src": "repo"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if outcome, err := execution.Run(t.Context(), c, never(), func(Progress) {}); err != nil || outcome.Status != api.StatusAborted {
		t.Errorf("Run() = %+v, %v", outcome, err)
	}
}

// A directory that is given goes before the job's input of the same name.
func TestGivenInputsGoBeforeThoseOfAJob(t *testing.T) {
	dir := workspace(t, map[string]string{"task.yml": jobTask, "here/file": "content"})
	c := jobClient(t, jobExchanges(jobInputs, "null"))
	execution, err := FromJob(t.Context(), c, "site", "unit", Request{
		Config: "task.yml", Directory: dir, LookupEnv: noEnv, Inputs: []Mapping{{"src", "here"}, {"assets", "here"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := json.Marshal(execution.plan(api.Info{}, map[string]int{"src": 1, "assets": 2}))
	if err != nil || strings.Contains(string(plan), `"get"`) || !strings.Contains(string(plan), `"artifact_id":2`) {
		t.Errorf("the plan is %s, %v", plan, err)
	}
}

func TestInputsThatAJobLacks(t *testing.T) {
	tests := map[string]struct {
		inputs  string
		request Request
		want    string
	}{
		"an input": {jobInputs, Request{},
			`the task needs the input "src"; give it with -i src=DIRECTORY, or map one of the job's to it with -m src=OTHER (it has assets, image, repo)`},
		"all inputs": {"[]", Request{InputMapping: map[string]string{"src": "code"}},
			`the task needs the input "code"; give it with -i code=DIRECTORY, or map one of the job's to it with -m code=OTHER (it has none)`},
		"the image": {jobInputs, Request{Image: "imago"}, `the job has no input "imago"; did you mean "image"?`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			// A directory of the input's name is no input when a job is asked for them.
			test.request.Directory = workspace(t, map[string]string{"task.yml": jobTask, "src/file": ""}) + "/src"
			test.request.Config, test.request.LookupEnv = "../task.yml", noEnv
			c := jobClient(t, jobExchanges(test.inputs, "[]"))
			_, err := FromJob(t.Context(), c, "site", "unit", test.request)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want %s", err, test.want)
			}
		})
	}
}

func TestJobThatIsNotThere(t *testing.T) {
	exchanges := jobExchanges("", "")[:1]
	exchanges[0].Status = 404
	_, err := FromJob(t.Context(), jobClient(t, exchanges), "site", "unit", Request{})
	const want = `there is no job "site/unit" whose next build has all its inputs`
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("the error is %v, want %s", err, want)
	}
}
