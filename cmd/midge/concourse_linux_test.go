package main

import (
	"strings"
	"testing"

	"midge/client/clienttest"
)

// get is a request of a recorded kind, to a Concourse that has jobs.
func get(target, answer string) clienttest.Exchange {
	return clienttest.Exchange{
		Method: "GET", Target: target, RequestHeader: map[string]string{"Authorization": "Bearer <token>"},
		Status: 200, Header: map[string]string{"Content-Type": "application/json"}, Body: answer,
	}
}

// What a Concourse's own fly asks of a job, midge asks in the same words.
func TestBuildsOfJobs(t *testing.T) {
	abort := clienttest.Read(t, "execute.txt", "abort")
	const (
		builds = `[{"id": 29, "team_name": "main", "name": "7", "status": "aborted", "pipeline_name": "site", "job_name": "unit", "api_url": "/api/v1/builds/29"}]`
		build  = `{"id": 29, "team_name": "main", "name": "7", "status": "started", "api_url": "/api/v1/builds/29"}`
		job    = "/api/v1/teams/main/pipelines/site/jobs/unit"
	)
	tests := map[string]struct {
		args      string
		exchanges []clienttest.Exchange
		status    int
		output    string // a part of it
	}{
		"builds of a job": {"builds -j site/unit -c 1",
			[]clienttest.Exchange{get(job+"/builds?limit=1", builds)}, 0, "29  site/unit/7  aborted  n/a  n/a  n/a  main  system\n"},
		"builds of a pipeline": {"builds -p site -n ops",
			[]clienttest.Exchange{get("/api/v1/teams/ops/pipelines/site/builds?limit=50", builds)}, 0, "29  site/unit/7  aborted"},
		"watch a job": {"watch -j site/unit",
			[]clienttest.Exchange{get(job+"/builds?limit=1", builds), abort[2]}, 3, "interrupted\naborted\n"},
		"watch a job that has not run": {"watch -j site/unit",
			[]clienttest.Exchange{get(job+"/builds?limit=1", "[]")}, 1, `job "site/unit" has no builds yet`},
		"watch a build of a job": {"watch -j site/unit -b 7",
			[]clienttest.Exchange{get(job+"/builds/7", build), abort[2]}, 3, "interrupted\naborted\n"},
		"watch a page": {"watch -u https://ci.example.com/teams/ops/pipelines/site/jobs/unit/builds/7",
			[]clienttest.Exchange{get("/api/v1/teams/ops/pipelines/site/jobs/unit/builds/7", build), abort[2]}, 3, "aborted\n"},
		"watch no page": {"watch -u https://ci.example.com/teams/ops/pipelines/site", nil, 1, "is no page of a build"},
		"abort a build of a job": {"abort-build -j site/unit -b 7",
			[]clienttest.Exchange{get(job+"/builds/7", build), abort[1]}, 0, "build successfully aborted\n"},
		"no job":           {"watch -j unit", nil, 1, `--job is "unit" and should be PIPELINE/JOB`},
		"twice a pipeline": {"builds -j site/unit -p site", nil, 1, "--job names the pipeline too"},
		"two bases":        {"execute -c task.yml -j site/unit --from 12", nil, 1, "choose one"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			server := clienttest.Replay(t, test.exchanges)
			command := midgeCommand(t, t.TempDir(), []string{"MIDGE_TARGET=" + server.URL, "MIDGE_TOKEN=" + clienttest.Token}, strings.Fields(test.args)...)
			output, err := command.CombinedOutput()
			if status := command.ProcessState.ExitCode(); status != test.status || !strings.Contains(string(output), test.output) {
				t.Errorf("exit status %d, %v, output\n%s", status, err, output)
			}
		})
	}
}
