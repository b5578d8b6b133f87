package server_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"midge/api"
	"midge/server"
	"midge/server/servertest"
)

// loggedInBrowser has the cookie of the test user.
func loggedInBrowser(t *testing.T, s *servertest.Server) *browser {
	t.Helper()
	b := newBrowser(t, s)
	if response, page := b.post("/login", s.URL, browserForm("to", "/")); response.StatusCode != http.StatusSeeOther {
		t.Fatalf("log in: got %d: %s", response.StatusCode, page)
	}
	return b
}

// page gives a page as a browser without scripts understands it.
func (b *browser) page(path string) *html.Node {
	b.t.Helper()
	response, text := b.get(path)
	if response.StatusCode != http.StatusOK {
		b.t.Fatalf("%s: got %d: %s", path, response.StatusCode, text)
	}
	root, err := html.Parse(strings.NewReader(text))
	if err != nil {
		b.t.Fatal(err)
	}
	return root
}

// element gives the element of that id, or fails the test.
func element(t *testing.T, root *html.Node, id string) *html.Node {
	t.Helper()
	for node := range root.Descendants() {
		if attribute(node, "id") == id {
			return node
		}
	}
	t.Fatalf("the page has no element %q", id)
	return nil
}

func attribute(node *html.Node, name string) string {
	for _, attribute := range node.Attr {
		if attribute.Key == name {
			return attribute.Val
		}
	}
	return ""
}

func textOf(node *html.Node) string {
	var text strings.Builder
	for child := range node.Descendants() {
		if child.Type == html.TextNode {
			text.WriteString(child.Data)
		}
	}
	return text.String()
}

// links are where the links of a page lead, by their text.
func links(root *html.Node) map[string]string {
	found := map[string]string{}
	for node := range root.Descendants() {
		if node.Data == "a" {
			found[textOf(node)] = attribute(node, "href")
		}
	}
	return found
}

const hostileScript = `printf '\033[31mred\033[0m <script>alert(1)</script>\n\033]0;title\007'; exit 3`

func TestBuildPage(t *testing.T) {
	s := startServer(t, servertest.Options{})
	build, _ := testUser(t, s).finish(testUser(t, s).build(script(hostileScript)).ID)
	b := loggedInBrowser(t, s)
	path := fmt.Sprintf("/builds/%d", build.ID)
	if to := links(b.page("/"))[fmt.Sprint(build.ID)]; to != path {
		t.Errorf("the list of builds leads to %q, want %q", to, path)
	}
	page := b.page(path)
	if status := textOf(element(t, page, "status")); status != "failed" {
		t.Errorf("the status is %q, want failed", status)
	}
	if steps := textOf(element(t, page, "steps")); !strings.Contains(steps, "one-off") || !strings.Contains(steps, "failed") {
		t.Errorf("the steps are %q", steps)
	}
	log := element(t, page, "log")
	if text := textOf(log); !strings.Contains(text, "\nred <script>alert(1)</script>\nexit status 3\n") {
		t.Errorf("the log is %q", text)
	}
	coloured := ""
	for node := range log.Descendants() {
		if attribute(node, "class") == "f1" {
			coloured = textOf(node)
		}
		if node.Data == "script" {
			t.Error("what the task has written is a script")
		}
	}
	if coloured != "red" {
		t.Errorf("what is red is %q", coloured)
	}
	if hijack := textOf(element(t, page, "hijack")); !strings.Contains(hijack, fmt.Sprintf("midge hijack -b %d -s one-off", build.ID)) {
		t.Errorf("the way into the container is %q", hijack)
	}
	if _, whole := b.get(path + "/log"); whole != "\x1b[31mred\x1b[0m <script>alert(1)</script>\r\n\x1b]0;title\a" {
		t.Errorf("the whole log is %q", whole)
	}
}

func TestPagesRunOnlyOwnScripts(t *testing.T) {
	s := startServer(t, servertest.Options{})
	someone := testUser(t, s)
	build := someone.build(script("echo up; sleep 1000"))
	waitForEvent(t, someone, build.ID, api.EventLog)
	b := loggedInBrowser(t, s)
	response, text := b.get(fmt.Sprintf("/builds/%d", build.ID))
	_, rest, _ := strings.Cut(response.Header.Get("Content-Security-Policy"), "script-src 'nonce-")
	nonce, _, _ := strings.Cut(rest, "'")
	if nonce == "" || !strings.Contains(text, `<script nonce="`+nonce+`">`) || !strings.Contains(text, `<style nonce="`+nonce+`">`) {
		t.Errorf("the policy is %q for the page %s", response.Header.Get("Content-Security-Policy"), text)
	}
	if again, _ := b.get("/"); strings.Contains(again.Header.Get("Content-Security-Policy"), nonce) {
		t.Error("two pages have the same nonce")
	}
	someone.want(http.StatusNoContent, "PUT", fmt.Sprintf("/api/v1/builds/%d/abort", build.ID), "")
	someone.finish(build.ID)
}

func TestBuildPageFollows(t *testing.T) {
	s := startServer(t, servertest.Options{})
	someone := testUser(t, s)
	build := someone.build(script("echo before; sleep 1000; echo after"))
	waitForEvent(t, someone, build.ID, api.EventLog)
	b := loggedInBrowser(t, s)
	log := element(t, b.page(fmt.Sprintf("/builds/%d", build.ID)), "log")
	if text := textOf(log); !strings.Contains(text, "\nbefore\n") || strings.Contains(text, "\nafter") {
		t.Fatalf("the log so far is %q", text)
	}
	request, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+attribute(log, "data-live"), nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := b.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	someone.want(http.StatusNoContent, "PUT", fmt.Sprintf("/api/v1/builds/%d/abort", build.ID), "")
	added, state, ended := readLive(t, bufio.NewScanner(response.Body))
	if strings.Contains(added, "before") || !ended {
		t.Errorf("the page gets %q, ended %v; it has what was before", added, ended)
	}
	if !strings.Contains(state, `id="status">aborted<`) {
		t.Errorf("the state at the end is %q", state)
	}
	// A page that had nothing, and one that comes back.
	from := func(query, last string) string {
		response := someone.open("GET", fmt.Sprintf("/builds/%d/live%s", build.ID, query), map[string]string{"Last-Event-ID": last}, nil)
		defer response.Body.Close()
		added, _, _ := readLive(t, bufio.NewScanner(response.Body))
		return added
	}
	if all := from("", ""); !strings.Contains(all, "before\n") {
		t.Errorf("a page that had nothing gets %q", all)
	}
	if rest := from("", "1000"); rest != "" {
		t.Errorf("a page that had everything gets %q", rest)
	}
}

// readLive gives the log and the last state that a page is sent, and whether it is
// told of the end.
func readLive(t *testing.T, stream *bufio.Scanner) (log, state string, ended bool) {
	t.Helper()
	event := ""
	for stream.Scan() {
		name, value, _ := strings.Cut(stream.Text(), ": ")
		switch {
		case name == "event":
			event = value
			ended = ended || event == "end"
		case name == "data" && value != "":
			var html string
			if err := json.Unmarshal([]byte(value), &html); err != nil {
				t.Fatal(err)
			}
			if event == "log" {
				log += html
			} else {
				state = html
			}
		}
	}
	return log, state, ended
}

func TestBuildPageArtifacts(t *testing.T) {
	s := startServer(t, servertest.Options{})
	someone := testUser(t, s)
	build, _ := someone.finish(someone.build(`{"do":[{"task":{"name":"one-off","config":{"platform":"linux","outputs":[{"name":"out"}],
		"run":{"path":"/bin/sh","args":["-c","echo made >out/file"]}}}},{"artifact_output":{"name":"out"}}]}`).ID)
	b := loggedInBrowser(t, s)
	to := links(b.page(fmt.Sprintf("/builds/%d", build.ID)))["out"]
	request, err := http.NewRequest("GET", s.URL+to, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept-Encoding", "gzip, br, zstd")
	response, archive := b.send(request)
	if disposition := response.Header.Get("Content-Disposition"); disposition != "attachment; filename=out.tgz" {
		t.Errorf("the file is saved as %q", disposition)
	}
	tar, err := gzip.NewReader(strings.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	if files := filesOf(t, tar); files["file"] != "made\n" {
		t.Errorf("the artifact is %v", files)
	}
}

func TestPagesOfOthers(t *testing.T) {
	s := startServer(t, servertest.Options{Configure: func(config *server.Config) {
		config.Users = append(config.Users, server.LocalUser{Name: "eve", Password: "e"}, server.LocalUser{Name: "vic", Password: "v"})
		config.Teams = map[string]server.TeamRoles{
			"main":  {"owner": {Users: []string{"local:test"}}, "viewer": {Users: []string{"local:vic"}}},
			"other": {"owner": {Users: []string{"local:eve"}}},
		}
	}})
	build, _ := testUser(t, s).finish(testUser(t, s).build(script("echo secret")).ID)
	eve := newBrowser(t, s)
	eve.post("/login", s.URL, browserForm("username", "eve", "password", "e", "to", "/"))
	path := fmt.Sprintf("/builds/%d", build.ID)
	for _, page := range []string{path, path + "/live", path + "/log", path + "/artifacts/1", "/builds/x"} {
		if response, text := eve.get(page); response.StatusCode != http.StatusNotFound || strings.Contains(text, "secret") {
			t.Errorf("%s: got %d: %s", page, response.StatusCode, text)
		}
	}
	if to := links(eve.page("/")); to[fmt.Sprint(build.ID)] != "" {
		t.Errorf("the list has a build of another team: %v", to)
	}
	vic := newBrowser(t, s)
	vic.post("/login", s.URL, browserForm("username", "vic", "password", "v", "to", "/"))
	if _, text := vic.get(path); !strings.Contains(text, "secret") || strings.Contains(text, "midge hijack") {
		t.Errorf("a viewer sees %s", text)
	}
}

func TestPagesAskToLogIn(t *testing.T) {
	s := startServer(t, servertest.Options{})
	for page, to := range map[string]string{"/": "/login?to=%2F", "/builds/7?x=1": "/login?to=%2Fbuilds%2F7%3Fx%3D1"} {
		response, _ := newBrowser(t, s).get(page)
		if location := response.Header.Get("Location"); response.StatusCode != http.StatusSeeOther || location != to {
			t.Errorf("%s: got %d to %q, want a redirect to %q", page, response.StatusCode, location, to)
		}
	}
}
