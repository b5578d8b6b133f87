package health_test

import (
	"strings"
	"testing"

	"midge/client"
	"midge/health"
	"midge/runtime/runtimetest"
	"midge/server"
	"midge/server/servertest"
)

// smokeOn runs the smoke test on a new server.
func smokeOn(t *testing.T, options servertest.Options) ([]health.Step, error) {
	t.Helper()
	s, err := servertest.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	c, err := client.OfTarget("smoke", client.Target{URL: "unix://" + s.Socket, Team: "main"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return health.Smoke(t.Context(), c)
}

func TestSmoke(t *testing.T) {
	steps, err := smokeOn(t, servertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, step := range steps {
		names = append(names, step.Name)
		if step.TookSeconds < 0 {
			t.Errorf("%s took %v s", step.Name, step.TookSeconds)
		}
	}
	want := "answer a request,upload an artifact,create a build,take its turn,make a container,run a task,store an artifact, end the build,download an artifact"
	if got := strings.Join(names, ","); got != want {
		t.Errorf("the steps are %s, want %s", got, want)
	}
}

func TestSmokeNamesWhatDoesNotWork(t *testing.T) {
	steps, err := smokeOn(t, servertest.Options{Worker: runtimetest.NewWorker(runtimetest.Config{Tags: []string{"other"}})})
	if err == nil || !strings.Contains(err.Error(), "no workers satisfying") {
		t.Errorf("without a worker that fits it says %v", err)
	}
	if len(steps) < 3 {
		t.Errorf("what went well is %+v", steps)
	}
	_, err = smokeOn(t, servertest.Options{Configure: func(config *server.Config) { config.MaxArtifactSize = 1 }})
	if err == nil || !strings.HasPrefix(err.Error(), "upload an artifact: ") {
		t.Errorf("of a server that takes no artifact it says %v", err)
	}
}
