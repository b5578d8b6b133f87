package execute

import (
	"strings"
	"testing"

	"midge/client"
	"midge/client/clienttest"
)

// What an earlier build had and the server has no longer is named, with the flag that
// gives it.
func TestRepeatWithALostInput(t *testing.T) {
	plan := `{"plan":{"id":"1","do":[
		{"id":"2","artifact_input":{"artifact_id":7,"name":"src"}},
		{"id":"3","task":{"name":"one-off","config":{"platform":"linux","inputs":[{"name":"src"}],"run":{"path":"true"}}}}]}}`
	info := clienttest.Read(t, "login.txt", "login -c URL -u USER -p PASSWORD")[0]
	server := clienttest.Replay(t, []clienttest.Exchange{
		{Method: "GET", Target: "/api/v1/builds/12/plan", Status: 200, Body: plan},
		info,
		{Method: "POST", Target: "/api/v1/teams/main/builds", RequestBody: "<any>", Status: 400, Body: "there is no artifact 7"},
		{Method: "GET", Target: "/api/v1/teams/main/artifacts/7", Status: 404},
	})
	c, err := client.New(client.Options{URL: server.URL, Token: clienttest.Token})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	execution, err := Repeat(t.Context(), c, 12, Request{Directory: t.TempDir(), LookupEnv: noEnv})
	if err != nil {
		t.Fatal(err)
	}
	_, err = execution.Run(t.Context(), c, never(), func(Progress) {})
	if err == nil || !strings.Contains(err.Error(), `the input "src" of the earlier build is no longer on the server; give it with -i src=DIRECTORY`) {
		t.Errorf("got %v", err)
	}
}
