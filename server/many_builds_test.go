package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"midge/api"
	"midge/server/servertest"
)

// manyBuilds is how many are executed at once.
const manyBuilds = 200

// Two hundred builds are made at once: each has all of its output and succeeds, who asks
// something else meanwhile is answered, and they leave little in memory.
func TestTwoHundredBuildsAtOnce(t *testing.T) {
	s := startServer(t, servertest.Options{})
	someone := testUser(t, s)
	someone.finish(someone.build(script("true")).ID)
	before := heap()
	var group sync.WaitGroup
	for i := range manyBuilds {
		group.Go(func() {
			build, events := someone.finish(someone.build(script(fmt.Sprintf("echo mark-$((%d+1000))", i))).ID)
			if mark := fmt.Sprintf(`"payload":"mark-%d`, i+1000); build.Status != api.StatusSucceeded || strings.Count(events, mark) != 1 {
				t.Errorf("build %d %s, and has said %s", build.ID, build.Status, events)
			}
		})
	}
	group.Go(func() { someone.want(http.StatusOK, "GET", "/api/v1/status", "") })
	group.Wait()
	var builds []api.Build
	decode(t, someone.want(http.StatusOK, "GET", "/api/v1/builds?limit=1000", ""), &builds)
	if len(builds) != manyBuilds+1 {
		t.Errorf("there are %d builds, want %d", len(builds), manyBuilds+1)
	}
	// What a build's container has in the memory of the tests' worker is below that.
	if more := heap() - before; more > manyBuilds*maxBuildMemory {
		t.Errorf("the heap has grown by %d MB", more>>20)
	}
}

// maxBuildMemory bounds what the server keeps in memory of a build that has ended.
const maxBuildMemory = 256 << 10
