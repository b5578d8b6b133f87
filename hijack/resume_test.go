package hijack

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"midge/api"
)

// TestCutConnections sends data through a connection that is cut again and again:
// all of it comes back, once.
func TestCutConnections(t *testing.T) {
	data := make([]byte, 1<<20)
	random := rand.NewChaCha8([32]byte{2})
	random.Read(data)
	server := newServer(t, Config{})
	net := newNetwork(t, server.http.Listener.Addr().String())
	run := begin(t, Options{Endpoint: Endpoint{URL: net.url()}, Processes: script("cat; echo end >&2"), Stdin: bytes.NewReader(data)})
	for cuts := 1; cuts <= 5; cuts++ {
		want := cuts * len(data) / 7
		run.stdout.await(t, fmt.Sprintf("byte %d", want), func(text string) bool { return len(text) >= want })
		net.cut()
	}
	run.exits(0)
	if got := run.stdout.String(); sha256.Sum256([]byte(got)) != sha256.Sum256(data) {
		t.Errorf("%d bytes came back, other than the %d that were sent", len(got), len(data))
	}
	if got := run.stderr.String(); !strings.Contains(got, "reconnected after ") || !strings.HasSuffix(got, "end\n") {
		t.Errorf("stderr is %q", got)
	}
	if connections := net.connections(); connections < 2 {
		t.Errorf("there were %d connections, so the cuts cut nothing", connections)
	}
}

// TestNothingTypedIsLostOrDoubled types while the connection comes and goes.
func TestNothingTypedIsLostOrDoubled(t *testing.T) {
	server := newServer(t, Config{})
	net := newNetwork(t, server.http.Listener.Addr().String())
	typed, typing := io.Pipe()
	run := begin(t, Options{Endpoint: Endpoint{URL: net.url()}, Processes: script("while read line; do echo got $line; done"), Stdin: typed})
	next(t, run.session, "the session")
	var want strings.Builder
	for i := range 40 {
		switch i % 4 {
		case 0:
			net.cut()
		case 1:
			net.unplug()
		case 3:
			net.restore()
		}
		fmt.Fprintf(typing, "line %d\n", i)
		fmt.Fprintf(&want, "got line %d\n", i)
	}
	typing.Close()
	run.exits(0)
	if got := run.stdout.String(); got != want.String() {
		t.Errorf("stdout is\n%s\nwant\n%s", got, want.String())
	}
}

func TestServerRestart(t *testing.T) {
	server := newServer(t, Config{})
	typed, typing := io.Pipe()
	run := begin(t, Options{Endpoint: server.endpoint(), Processes: script("while read line; do echo got $line; done; exit 4"), Stdin: typed})
	next(t, run.session, "the session")
	var want string
	for i := range 5 {
		fmt.Fprintln(typing, i)
		want += fmt.Sprintf("got %d\n", i)
		if i%2 == 0 {
			run.stdout.await(t, "the echo", func(text string) bool { return text == want })
		}
		server.restart()
	}
	typing.Close()
	run.exits(4)
	if got := run.stdout.String(); got != want {
		t.Errorf("stdout is %q, want %q", got, want)
	}
	server.forgotten()
	if began := len(server.observer.began); began != 1 {
		t.Errorf("%d sessions began, want 1", began)
	}
	if end := next(t, server.observer.ended, "the end"); end.end.Exit == nil || end.end.Exit.Code != 4 || end.session.ID == "" {
		t.Errorf("the observer was told %+v", end)
	}
}

// TestCommandThatEndsMeanwhile ends while nobody is attached, and over a restart.
func TestCommandThatEndsMeanwhile(t *testing.T) {
	server := newServer(t, Config{})
	net := newNetwork(t, server.http.Listener.Addr().String())
	run := begin(t, Options{Endpoint: Endpoint{URL: net.url()}, Processes: script("read line; echo last words; exit 9"), Stdin: nothing(t)})
	next(t, run.session, "the session")
	net.unplug()
	session := server.only()
	if _, err := session.process.Write(testContext(t), 0, []byte("go\n")); err != nil {
		t.Fatal(err)
	}
	next(t, session.ended, "the end of the command")
	server.restart()
	net.restore()
	run.exits(9)
	if got := run.stdout.String(); got != "last words\n" {
		t.Errorf("stdout is %q", got)
	}
	server.forgotten()
	if ends := len(server.observer.ended); ends != 1 {
		t.Errorf("the observer was told of %d ends, want 1", ends)
	}
}

// TestServerThatIsKilledAsASessionBegins starts the command and is gone before it has said
// so: who asks again has that session, and no other.
func TestServerThatIsKilledAsASessionBegins(t *testing.T) {
	server := newServer(t, Config{})
	var asked atomic.Int32
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch asked.Add(1) {
		case 1: // killed before
			panic(http.ErrAbortHandler)
		case 2: // being shut down
			http.Error(w, "the server is shutting down", http.StatusServiceUnavailable)
		case 3:
			socket, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{Subprotocol}})
			if err != nil {
				t.Error(err)
				return
			}
			defer socket.CloseNow()
			start, err := newConnection(socket).receive()
			if err != nil {
				t.Error(err)
				return
			}
			conn := server.dialFrames()
			send(t, conn, start)
			receive(t, conn, frameAttached)
			conn.socket.CloseNow()
		default:
			server.ServeHTTP(w, r)
		}
	}))
	defer front.Close()
	run := begin(t, Options{Endpoint: Endpoint{URL: front.URL}, Heard: true, Processes: script("read line; echo $line; exit 5"), Stdin: strings.NewReader("once\n")})
	run.exits(5)
	if got := run.stdout.String(); got != "once\n" {
		t.Errorf("stdout is %q", got)
	}
	server.forgotten()
	if began := len(server.observer.began); began != 1 {
		t.Errorf("%d sessions began, want 1", began)
	}
}

func TestGivingUp(t *testing.T) {
	server := newServer(t, Config{SessionTimeout: time.Second})
	net := newNetwork(t, server.http.Listener.Addr().String())
	run := begin(t, Options{Endpoint: Endpoint{URL: net.url()}, Processes: script("sleep 100000"), Stdin: nothing(t)})
	next(t, run.session, "the session")
	net.unplug()
	if result := run.wait(); result.err == nil || !strings.Contains(result.err.Error(), "the server was out of reach for") {
		t.Errorf("got %+v", result)
	}
	end := next(t, server.observer.ended, "the end").end
	if want := "nobody was attached to the session for 1s, and it is ended"; end.Message != want {
		t.Errorf("the session ended with %+v, want the message %q", end, want)
	}
}

func TestSessionThatIsGone(t *testing.T) {
	server := newServer(t, Config{})
	result := begin(t, Options{Endpoint: server.endpoint(), Session: "nosuch", Stdin: nothing(t)}).wait()
	var report *Error
	if !asError(result.err, &report) || report.Code != CodeNoSession {
		t.Errorf("got %+v", result)
	}

	server.flyOnly = true
	result = begin(t, Options{Endpoint: server.endpoint(), Session: "nosuch", Stdin: nothing(t)}).wait()
	if !asError(result.err, &report) || report.Code != CodeNoSession {
		t.Errorf("got %+v", result)
	}
}

func TestContainerThatGoes(t *testing.T) {
	server := newServer(t, Config{})
	run := begin(t, Options{Endpoint: server.endpoint(), Processes: []api.HijackProcess{{Path: "sleep", Args: []string{"100000"}}}, Stdin: nothing(t)})
	next(t, run.session, "the session")
	if err := server.container.Destroy(testContext(t)); err != nil {
		t.Fatal(err)
	}
	result := run.wait()
	t.Logf("%+v", result)
	if result.err == nil && result.ExitStatus == 0 {
		t.Errorf("got %+v", result)
	}
	end := next(t, server.observer.ended, "the end")
	t.Logf("%+v", end)
}
