package security

import (
	"go/ast"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// listeners are the files that listen, and what bounds who connects: what they may
// send, and how long they may take.
var listeners = map[string]string{
	"server/listen.go":                   "newHTTPServer of the package, TestConnectionsEnd",
	"server/socket.go":                   "the same, and the mode of the socket, TestSocketIsClosedToOthers",
	"client/browser_login.go":            "its http.Server; for a minute, on loopback",
	"agent/supervisor.go":                "root alone reaches it, in the data dir",
	"agent/listen.go":                    "the http.Server of trace.Receive, and how many connections a task may have",
	"agent/pod/serve.go":                 "a pod's own processes alone reach it",
	"runtime/runc/network/nameserver.go": "how many questions are under way, and how long each may take",
	"runtime/runc/network/choose.go":     "nothing is received: its name is what it is for",
}

// unbounded are the files whose http.Server bounds nothing, with why.
var unbounded = map[string]string{
	"agent/pod/serve.go": "its requests are as long as processes, and the server's alone",
}

// Nothing listens that is not known to be bounded, no HTTP server waits for ever for what is
// not sent, and messages of a websocket have a greatest size.
func TestListenersAreBounded(t *testing.T) {
	found := map[string]bool{}
	limited := map[string]bool{} // packages that set how long a message may be
	var accepting []string
	for path, file := range sources(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				switch name := selector(n.Fun); {
				case strings.HasPrefix(name, "net.Listen"):
					found[path] = true
				case name == "http.ListenAndServe", name == "http.ListenAndServeTLS", name == "http.Serve", name == "http.ServeTLS":
					t.Errorf("%s: %s has no timeouts", path, name)
				case name == "websocket.Accept", name == "websocket.Dial":
					accepting = append(accepting, filepath.Dir(path))
				case strings.HasSuffix(name, ".SetReadLimit"):
					limited[filepath.Dir(path)] = true
				}
			case *ast.CompositeLit:
				if selector(n.Type) == "http.Server" && unbounded[path] == "" {
					checkServer(t, path, n)
				}
			}
			return true
		})
	}
	for path := range found {
		if listeners[path] == "" {
			t.Errorf("%s listens, and nothing is known to bound who connects", path)
		}
	}
	for path := range listeners {
		if !found[path] {
			t.Errorf("%s does not listen any more", path)
		}
	}
	if len(accepting) == 0 {
		t.Error("no websocket was found")
	}
	for _, dir := range accepting {
		if !limited[dir] {
			t.Errorf("%s takes messages of any size", dir)
		}
	}
}

// checkServer checks that a server bounds headers and how long it waits for requests.
func checkServer(t *testing.T, path string, server *ast.CompositeLit) {
	t.Helper()
	var set []string
	for _, element := range server.Elts {
		if pair, ok := element.(*ast.KeyValueExpr); ok {
			if key, ok := pair.Key.(*ast.Ident); ok {
				set = append(set, key.Name)
			}
		}
	}
	if !slices.Contains(set, "MaxHeaderBytes") {
		t.Errorf("%s: an http.Server takes headers of a megabyte", path)
	}
	if !slices.Contains(set, "ReadTimeout") && !(slices.Contains(set, "ReadHeaderTimeout") && slices.Contains(set, "IdleTimeout")) {
		t.Errorf("%s: an http.Server waits for ever for a header, or for another request", path)
	}
}
