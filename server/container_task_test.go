package server_test

import (
	"fmt"
	"net/http"
	"reflect"
	"testing"

	"midge/api"
	"midge/server/servertest"
)

// One container tells what became of its task, and lists do without.
func TestContainerTask(t *testing.T) {
	s := startServer(t, servertest.Options{})
	someone := testUser(t, s)
	build, _ := someone.finish(someone.build(script("exit 7")).ID)
	var listed []api.Container
	decode(t, someone.want(http.StatusOK, "GET", fmt.Sprintf("/api/v1/teams/main/containers?build_id=%d", build.ID), ""), &listed)
	if len(listed) != 1 || listed[0].Task != nil {
		t.Fatalf("listed are %+v", listed)
	}
	var container api.Container
	decode(t, someone.want(http.StatusOK, "GET", "/api/v1/teams/main/containers/"+listed[0].ID, ""), &container)
	status := 7
	want := &api.ContainerTask{Status: "failed", ExitStatus: &status, Command: []string{"/bin/sh", "-c", "exit 7"}}
	if !reflect.DeepEqual(container.Task, want) {
		t.Errorf("the task is %+v, want %+v", container.Task, want)
	}
}
