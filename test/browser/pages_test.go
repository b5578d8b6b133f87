// Package browser tests the server's pages in a real browser, Debian's chromium.
package browser

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"midge/api"
	"midge/client"
	"midge/server/servertest"
)

// startServer starts a server that ends with the test, and gives a client of it.
func startServer(t *testing.T) (*servertest.Server, *client.Client) {
	t.Helper()
	s, err := servertest.NewServer(servertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	c, err := client.New(client.Options{URL: "unix://" + s.Socket})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return s, c
}

// execute starts a build of a shell script that leaves an artifact.
func execute(t *testing.T, c *client.Client, script string) api.Build {
	t.Helper()
	task := api.Plan{Task: &api.TaskPlan{Name: "one-off", Config: &api.TaskConfig{
		Platform: "linux", Run: api.TaskRun{Path: "/bin/sh", Args: []string{"-c", script}}, Outputs: []api.TaskOutput{{Name: "report"}},
	}}}
	keep := api.Plan{ArtifactOutput: &api.ArtifactOutputPlan{Name: "report"}}
	plan := api.Plan{Ensure: &api.EnsurePlan{Step: task, Next: keep}}
	plan.AssignIDs()
	build, err := c.CreateBuild(t.Context(), plan, "")
	if err != nil {
		t.Fatal(err)
	}
	return build
}

// awaitLog waits until a build has written something.
func awaitLog(t *testing.T, c *client.Client, build int) {
	t.Helper()
	for event, err := range c.Events(t.Context(), build, "") {
		if err != nil {
			t.Fatal(err)
		}
		if event.Event == api.EventLog {
			return
		}
	}
	t.Fatal("the build has ended and written nothing")
}

// run runs a command in the container of a build.
func run(t *testing.T, c *client.Client, build int, script string) {
	t.Helper()
	containers, err := c.Containers(t.Context(), client.ContainerFilter{BuildID: build})
	if err != nil || len(containers) != 1 {
		t.Fatalf("the build has %d containers, %v", len(containers), err)
	}
	address, httpClient, header := c.HijackEndpoint(containers[0].ID)
	socket, _, err := websocket.Dial(t.Context(), address, &websocket.DialOptions{HTTPClient: httpClient, HTTPHeader: header})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.CloseNow()
	for _, frame := range []string{fmt.Sprintf(`{"path":"/bin/sh","args":["-c",%q],"dir":%q}`, script, containers[0].WorkingDirectory), `{"closed":true}`} {
		if err := socket.Write(t.Context(), websocket.MessageText, []byte(frame)); err != nil {
			t.Fatal(err)
		}
	}
	for {
		_, frame, err := socket.Read(t.Context())
		if err != nil {
			t.Fatalf("the command does not end: %v", err)
		}
		if strings.Contains(string(frame), `"exit_status":0`) {
			return
		}
	}
}

// logIn fills in the form of the page to log in.
func (c *chromium) logIn(password string) {
	c.t.Helper()
	c.load(func() {
		c.evaluate(fmt.Sprintf(`
			document.querySelector("[name=username]").value = %q;
			document.querySelector("[name=password]").value = %q;
			void document.querySelector("form").requestSubmit()`, servertest.User, password))
	})
}

// The page of a build that runs follows it to its end, behind a login.
func TestBuildPageFollows(t *testing.T) {
	s, c := startServer(t)
	build := execute(t, c, `printf '\033[31mfirst\033[0m <b>&\n'; until [ -e go ]; do sleep 0.05; done; echo second; echo x > report/x; exit 3`)
	awaitLog(t, c, build.ID)
	page := startChromium(t)
	page.open(fmt.Sprintf("%s/builds/%d", s.URL, build.ID))
	if title := page.evaluate("document.title"); title != "Log in" {
		t.Fatalf("who has not logged in sees %v", title)
	}
	page.logIn("wrong")
	page.await(".wrong", "Invalid username or password")
	page.logIn(servertest.Password)
	page.await("h1", fmt.Sprintf("Build %d", build.ID))
	page.await("#log", "first <b>&")
	page.await("#status", "started")
	page.screenshot("running")
	if colour := page.evaluate(`getComputedStyle([...document.querySelectorAll("#log span")].find(e => e.innerText === "first")).color`); colour != "rgb(224, 108, 117)" {
		t.Errorf("the log's red is %v", colour)
	}
	page.evaluate("window.sameAsBefore = true")
	run(t, c, build.ID, "echo > go")
	page.await("#log", "second")
	page.await("#status", "failed")
	page.await("#artifacts", "report")
	page.await("#hijack", fmt.Sprintf("midge hijack -b %d", build.ID))
	page.screenshot("finished")
	if page.evaluate("window.sameAsBefore") != true {
		t.Error("the page was loaded anew to show that")
	}
	if files := page.evaluate(`fetch(document.querySelector("#artifacts a").href).then(answer => answer.status)`); files != float64(http.StatusOK) {
		t.Errorf("the artifact's link answers %v", files)
	}
	page.load(func() { page.evaluate(`void document.querySelector("header form").requestSubmit()`) })
	if title := page.evaluate("document.title"); title != "Log in" {
		t.Errorf("who has logged out sees %v", title)
	}
}

// Without JavaScript a page has all that there is when it is loaded, and is loaded again.
func TestBuildPageWithoutScripts(t *testing.T) {
	s, c := startServer(t)
	build := execute(t, c, "echo first; until [ -e go ]; do sleep 0.05; done; echo second")
	awaitLog(t, c, build.ID)
	page := startChromium(t)
	page.do("Emulation.setScriptExecutionDisabled", map[string]any{"value": true}, nil)
	page.open(fmt.Sprintf("%s/builds/%d", s.URL, build.ID))
	page.logIn(servertest.Password)
	page.await("#log", "first")
	page.await("#status", "started")
	run(t, c, build.ID, "echo > go")
	page.await("#log", "second")
	page.await("#status", "succeeded")
	page.screenshot("without-scripts")
}
