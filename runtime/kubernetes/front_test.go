//go:build cluster

package kubernetes_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// A front is an API server in front of the cluster's: whoever asks it is the service
// account that deploy/kubernetes makes, in a namespace. It knows what it was asked for.
type front struct {
	kubeconfig string
	listener   *frontListener
	bytes      atomic.Int64  // that have passed, either way
	ahead      time.Duration // of this machine's, its clock; changed before it is asked
	times      atomic.Int64  // that it has told by that clock

	mu           sync.Mutex
	asked        map[string]bool // verbs and resources
	noWebsockets bool
	failing      map[string][]int // statuses that the next requests for something are answered with
}

// newFront gives one whose user is the namespace's, or of all namespaces the administrator.
func newFront(t *testing.T, namespace string) *front {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", node.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	config.NextProtos = []string{"http/1.1"} // the other has no upgrades
	transport, err := rest.TransportFor(config)
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{asked: make(map[string]bool), failing: make(map[string][]int)}
	proxy := &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			if namespace != "" {
				r.Out.Header.Set("Impersonate-User", "system:serviceaccount:"+namespace+":midge-server")
			}
			if f.ahead != 0 {
				r.Out.Header.Set("Accept", "application/json")
				r.Out.Header.Set("Accept-Encoding", "identity")
			}
		},
		ModifyResponse: func(r *http.Response) error {
			if f.ahead != 0 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
				r.Body = &tellingTimes{Closer: r.Body, lines: bufio.NewReader(r.Body), front: f}
			}
			return nil
		},
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.refuses(r) {
			http.Error(w, "no websockets here", http.StatusBadRequest)
			return
		}
		switch status := f.fails(r); status {
		case 0:
			proxy.ServeHTTP(w, r)
		case noAnswer:
			// Who gives up is noticed once all of a request is read.
			io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		default:
			http.Error(w, "not now", status)
		}
	}))
	f.listener = &frontListener{Listener: server.Listener, bytes: &f.bytes, conns: make(map[net.Conn]struct{})}
	server.Listener = f.listener
	server.Start()
	t.Cleanup(server.Close)
	f.kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf("apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: %q}}]\ncontexts: [{name: c, context: {cluster: c, namespace: %q}}]\ncurrent-context: c\n", server.URL, namespace)
	if err := os.WriteFile(f.kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

// A frontListener counts the bytes of all its connections, and may be away.
type frontListener struct {
	net.Listener
	bytes *atomic.Int64

	mu    sync.Mutex
	away  bool
	conns map[net.Conn]struct{}
}

func (l *frontListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[conn] = struct{}{}
	if l.away {
		conn.Close()
	}
	return frontConn{conn, l}, nil
}

// beAway cuts all connections, and each that is made until it is called with false.
func (f *front) beAway(away bool) {
	l := f.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = away
	for conn := range l.conns {
		conn.Close()
	}
}

type frontConn struct {
	net.Conn
	listener *frontListener
}

func (c frontConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.listener.bytes.Add(int64(n))
	return n, err
}

func (c frontConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.listener.bytes.Add(int64(n))
	return n, err
}

func (c frontConn) Close() error {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	delete(c.listener.conns, c.Conn)
	return c.Conn.Close()
}

// tellingTimes is an answer, or what a watch tells, with the times by the front's clock.
type tellingTimes struct {
	io.Closer
	lines *bufio.Reader
	front *front
	line  []byte // what is left of one
	err   error  // after it
}

func (b *tellingTimes) Read(p []byte) (int, error) {
	if len(b.line) == 0 && b.err == nil {
		b.line, b.err = b.lines.ReadBytes('\n')
		b.line = aTime.ReplaceAllFunc(b.line, b.front.told)
	}
	if len(b.line) == 0 {
		return 0, b.err
	}
	n := copy(p, b.line)
	b.line = b.line[n:]
	return n, nil
}

// aTime is how the API server has times in JSON.
var aTime = regexp.MustCompile(`"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z"`)

// told gives a time by the front's clock, as long as it was.
func (f *front) told(text []byte) []byte {
	layout := `"2006-01-02T15:04:05Z"`
	if len(text) > len(layout) {
		layout = `"2006-01-02T15:04:05.000000Z"`
	}
	at, err := time.Parse(layout, string(text))
	if err != nil {
		return text
	}
	f.times.Add(1)
	return []byte(at.Add(f.ahead).Format(layout))
}

// what gives the verb and the resource that a request is about, as a role has them.
func what(r *http.Request) string {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/") // api v1 namespaces NAMESPACE RESOURCE [NAME [SUBRESOURCE]]
	if len(parts) < 5 {
		return ""
	}
	resource, verb := parts[4], map[string]string{"POST": "create", "GET": "list", "PATCH": "patch", "DELETE": "delete"}[r.Method]
	if len(parts) > 6 {
		resource += "/" + parts[6]
	}
	switch {
	case r.Method == "GET" && len(parts) > 5:
		verb = "get"
	case r.Method == "GET" && r.URL.Query().Get("watch") != "":
		verb = "watch"
	}
	return verb + " " + resource
}

// refuses notes what a request asks for, and tells whether it is refused.
func (f *front) refuses(r *http.Request) bool {
	asked := what(r)
	if asked == "" {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked[asked] = true
	return f.noWebsockets && strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// noAnswer has a request hang until who has made it gives up.
const noAnswer = -1

// answer has the next requests for something fail with these statuses, one after the other.
func (f *front) answer(asked string, statuses ...int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failing[asked] = statuses
}

// unanswered lists what was to fail and was not asked for.
func (f *front) unanswered() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var left []string
	for asked, statuses := range f.failing {
		if len(statuses) > 0 {
			left = append(left, asked)
		}
	}
	return left
}

// fails gives the status that a request fails with, 0 when it does not.
func (f *front) fails(r *http.Request) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := what(r)
	if len(f.failing[asked]) == 0 {
		return 0
	}
	status := f.failing[asked][0]
	f.failing[asked] = f.failing[asked][1:]
	return status
}

func (f *front) refuseWebsockets(refuse bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.noWebsockets = refuse
}
