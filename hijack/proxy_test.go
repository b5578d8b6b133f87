package hijack

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// connectProxy is an HTTP proxy that passes CONNECT on, as those of companies do.
type connectProxy struct {
	*httptest.Server
	passed atomic.Int64
}

func newConnectProxy(t *testing.T) *connectProxy {
	t.Helper()
	p := &connectProxy{}
	p.Server = httptest.NewServer(http.HandlerFunc(p.connect))
	t.Cleanup(p.Close)
	return p
}

func (p *connectProxy) connect(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.Error(w, "CONNECT alone", http.StatusMethodNotAllowed)
		return
	}
	server, err := net.Dial("tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer server.Close()
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	p.passed.Add(1)
	if _, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	done := make(chan struct{}, 2)
	go func() {
		io.Copy(server, buffered)
		done <- struct{}{}
	}()
	go func() {
		io.Copy(client, server)
		done <- struct{}{}
	}()
	<-done
}

// TestTLSThroughProxy speaks to a server that prefers HTTP/2, through a proxy.
func TestTLSThroughProxy(t *testing.T) {
	server := newServer(t, Config{})
	secure := httptest.NewUnstartedServer(server)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	t.Cleanup(secure.Close)
	proxy := newConnectProxy(t)
	address, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := secure.Client()
	client.Transport.(*http.Transport).Proxy = http.ProxyURL(address)
	run := begin(t, Options{
		Endpoint: Endpoint{URL: secure.URL, Client: client}, Processes: script("cat; exit 2"), Stdin: strings.NewReader("through"),
	})
	run.exits(2)
	if got := run.stdout.String(); got != "through" {
		t.Errorf("stdout is %q", got)
	}
	if proxy.passed.Load() != 1 {
		t.Errorf("%d connections went through the proxy, want 1", proxy.passed.Load())
	}
}

func TestRefusedRequests(t *testing.T) {
	tests := []struct {
		name    string
		answer  http.HandlerFunc
		message string
	}{
		{"not found", http.NotFound, "the server answers 404 Not Found: 404 page not found"},
		{"not logged in", func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "not \x1b[31mauthorized\nat all", http.StatusUnauthorized)
		}, "the server answers 401 Unauthorized: not authorized"},
		{"no websocket", func(w http.ResponseWriter, r *http.Request) {}, "the server answers 200 OK"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(test.answer)
			defer server.Close()
			header := http.Header{"Authorization": {"Bearer token"}}
			result := begin(t, Options{Endpoint: Endpoint{URL: server.URL, Header: header}, Processes: script("true"), Stdin: nothing(t)}).wait()
			if result.err == nil || result.err.Error() != test.message {
				t.Errorf("Run gave %+v, want %q", result, test.message)
			}
		})
	}
}

// TestRefusedReconnection gives up at once when the server answers and refuses.
func TestRefusedReconnection(t *testing.T) {
	server := newServer(t, Config{})
	var refuse atomic.Bool
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refuse.Load() {
			http.Error(w, "token expired", http.StatusUnauthorized)
			return
		}
		server.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	net := newNetwork(t, front.Listener.Addr().String())
	run := begin(t, Options{Endpoint: Endpoint{URL: net.url()}, Processes: script("read line"), Stdin: nothing(t)})
	id := next(t, run.session, "the session")
	refuse.Store(true)
	net.cut()
	want := "go on with session " + id + ": the server answers 401 Unauthorized: token expired"
	if result := run.wait(); result.err == nil || result.err.Error() != want {
		t.Errorf("Run gave %+v, want %q", result, want)
	}
}

// nginxIdle is how long nginx allows a connection to be idle unless it is told.
const nginxIdle = time.Minute

// TestIdleBehindNginx leaves a session alone for longer than nginx allows a
// connection to be idle. Ours is pinged as many times in that time as any is.
func TestIdleBehindNginx(t *testing.T) {
	const idle = 2 * time.Second
	for _, fly := range []bool{false, true} {
		t.Run(fmt.Sprintf("fly %v", fly), func(t *testing.T) {
			t.Parallel()
			server := newServer(t, Config{PingInterval: pingInterval / (nginxIdle / idle)})
			server.flyOnly = fly
			nginx := newNginx(t, server.http.Listener.Addr().String(), idle)
			run := begin(t, Options{Endpoint: Endpoint{URL: nginx}, Processes: script("sleep 5; echo done; exit 3"), Stdin: nothing(t)})
			run.exits(3)
			if stdout, stderr := run.stdout.String(), run.stderr.String(); stdout != "done\n" || stderr != "" {
				t.Errorf("stdout is %q, stderr %q", stdout, stderr)
			}
		})
	}
}

// newNginx starts an nginx before a server, with a limit on how long
// connections may be idle, and gives its URL. Its other settings are its defaults.
func newNginx(t *testing.T, target string, idle time.Duration) string {
	t.Helper()
	dir := t.TempDir()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	config := fmt.Sprintf(`
daemon off;
pid %[1]s/pid;
error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	server {
		listen %[2]s;
		location / {
			proxy_pass http://%[3]s;
			proxy_http_version 1.1;
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection upgrade;
			proxy_set_header Host $http_host;
			proxy_read_timeout %[4]dms;
			proxy_send_timeout %[4]dms;
		}
	}
}
`, dir, address, target, idle.Milliseconds())
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("nginx", "-e", "stderr", "-c", file)
	command.Stderr = testLog{t}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		command.Process.Signal(os.Interrupt)
		command.Wait()
	})
	awaitListener(t, address)
	return "http://" + address
}

// awaitListener waits until somebody listens at an address, of which no event tells.
func awaitListener(t *testing.T, address string) {
	t.Helper()
	ctx := testContext(t)
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
}
