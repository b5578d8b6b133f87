package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"midge/api"
)

func answer(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// Each answer of a server becomes one sentence that says what to do.
func TestAnswersBecomeSentences(t *testing.T) {
	tests := []struct {
		name    string
		handler http.HandlerFunc
		want    string // URL stands for the server's
	}{
		{"a page", answer(200, "text/html", "<html><body>Welcome</body></html>"),
			`URL does not answer like a midge or Concourse server: it sent a page of HTML; look at its URL with "midge targets"`},
		{"half a document", answer(200, "application/json", `{"id":12,"na`),
			`URL does not answer like a midge or Concourse server: its answer is no whole JSON document; look at its URL with "midge targets"`},
		{"another document", answer(200, "application/json", `"hello"`),
			`URL does not answer like a midge or Concourse server: its answer is no JSON; look at its URL with "midge targets"`},
		{"nothing", answer(200, "", ""),
			`URL does not answer like a midge or Concourse server: its answer is empty; look at its URL with "midge targets"`},
		{"unauthorized", answer(401, "", "not authorized"),
			`URL does not accept your token, it may have expired; log in again with: midge -t ci login`},
		{"forbidden", answer(403, "text/plain", "viewers only look"),
			`you are not allowed to do this at URL as a member of team "main" (viewers only look); see "midge userinfo" for your teams and roles`},
		{"not found", answer(404, "", ""),
			`there is no build 12 at URL, or it belongs to another team`},
		{"not found, as midge says it", answer(404, "application/json", `{"errors":["build 12 not found"]}`),
			`there is no build 12 at URL, or it belongs to another team`},
		{"not found, with a sentence", answer(404, "application/json", `{"error":"build 12 was deleted yesterday"}`),
			`build 12 was deleted yesterday`},
		{"bad gateway", answer(502, "text/html", "<html>502</html>"),
			`URL failed at the request (502 Bad Gateway); try again, and look at the server's log if it stays so`},
		{"internal error", answer(500, "text/plain", "the disk is full\n"),
			`URL failed at the request (500 Internal Server Error): the disk is full`},
		{"refused", answer(400, "application/json", `{"errors":["a step has no id","there are no steps"]}`),
			`a step has no id; there are no steps`},
		{"refused, as Concourse says it of a worker", answer(400, "application/json", `{"stderr":"cannot prune running worker"}`),
			`cannot prune running worker`},
		{"refused in silence", answer(409, "", ""),
			`URL refused the request (409 Conflict)`},
		{"terminal escapes", answer(400, "text/plain", "\x1b]0;owned\a\x1b[2Jbad\r\nplan"),
			`bad plan`},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://ci.example.com/login", http.StatusFound)
		}, `URL sends its visitors on to https://ci.example.com; if you trust that, use: midge -t ci login -c https://ci.example.com`},
		{"megabytes of headers", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Much", strings.Repeat("x", 2*maxHeaderBytes))
		}, `URL does not answer like a midge or Concourse server: its headers are longer than 256 KiB; look at its URL with "midge targets"`},
		{"an endless body", func(w http.ResponseWriter, r *http.Request) {
			block := []byte("[" + strings.Repeat(" ", 1<<20))
			for {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		}, `URL does not answer like a midge or Concourse server: its answer is longer than 32 MiB; look at its URL with "midge targets"`},
		{"cut", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, `{"id":12}`)
		}, `no server answers at URL (the connection was cut); start one with "sudo midge server", or choose another with --target`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(test.handler)
			defer server.Close()
			c := testClient(t, server.URL, func(o *Options) { o.Target, o.Patience = "ci", time.Nanosecond })
			_, err := c.Build(t.Context(), 12)
			if err == nil {
				t.Fatal("no error")
			}
			if got := strings.ReplaceAll(err.Error(), server.URL, "URL"); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestInfoOfAnotherServer(t *testing.T) {
	tests := map[string]http.HandlerFunc{
		"it has no /api/v1/info":       http.NotFound,
		"it does not tell its version": answer(200, "application/json", `{"status":"ok"}`),
		"its answer is no JSON":        answer(200, "text/plain", `hello`),
		"it sent a page of HTML":       answer(200, "text/html", `<!DOCTYPE html>`),
		"its answer is longer than 32": answer(200, "", strings.Repeat(" ", maxAnswerBytes+1)),
	}
	for want, handler := range tests {
		t.Run(want, func(t *testing.T) {
			server := httptest.NewServer(handler)
			defer server.Close()
			_, err := testClient(t, server.URL, nil).Info(t.Context())
			var strange *StrangeAnswerError
			if !errors.As(err, &strange) || !strings.HasPrefix(strange.Reason, want) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestServersThatAreNotThere(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	go func() {
		for {
			connection, err := silent.Accept()
			if err != nil {
				return
			}
			bufio.NewReader(connection).ReadString('\n')
			io.WriteString(connection, "220 mail.example.com ESMTP\r\n")
			connection.Close()
		}
	}()
	socket := filepath.Join(t.TempDir(), "midge.sock")
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	tests := []struct{ name, url, want string }{
		{"nobody listens", closed.URL,
			`no server answers at URL (connection refused); start one with "sudo midge server", or choose another with --target`},
		{"no socket", "unix://" + socket,
			`no server answers at URL (there is no such socket); start one with "sudo midge server", or choose another with --target`},
		{"unknown host", "http://midge.invalid",
			`no server answers at URL (the host name midge.invalid is not known); look at its URL with "midge targets", or choose another with --target`},
		{"another protocol", "http://" + silent.Addr().String(),
			`URL does not answer like a midge or Concourse server: it does not speak HTTP; look at its URL with "midge targets"`},
		{"unknown authority", secure.URL,
			`the certificate of URL is not trusted (it is signed by an authority that this machine does not know); trust its authority with: midge -t ci login -c URL --ca-cert FILE`},
		{"another name", strings.Replace(secure.URL, "127.0.0.1", "localhost", 1),
			`the certificate of URL is not trusted (it is for another host name); give its URL with the name that it has there`},
		{"no TLS", strings.Replace(httpServer(t), "http:", "https:", 1),
			`URL does not answer like a midge or Concourse server: it speaks HTTP and not HTTPS; look at its URL with "midge targets"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := testClient(t, test.url, func(o *Options) { o.Target = "ci" })
			_, err := c.Info(t.Context())
			if err == nil {
				t.Fatal("no error")
			}
			if got := strings.ReplaceAll(err.Error(), test.url, "URL"); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func httpServer(t *testing.T) string {
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	return server.URL
}

func TestURLs(t *testing.T) {
	for _, text := range []string{"", "midge.example.com", "ftp://x", "http://", "http://ann:secret@x", "unix:", "unix://host/path", "http://a b"} {
		var wrong *URLError
		if _, err := New(Options{URL: text}); !errors.As(err, &wrong) {
			t.Errorf("New(%q) = %v", text, err)
		}
	}
	c, err := New(Options{URL: "https://ci.example.com/concourse/"})
	if err != nil || c.base.String() != "https://ci.example.com/concourse" || c.URL() != "https://ci.example.com/concourse" {
		t.Errorf("base is %v, %v", c.base, err)
	}
}

func TestWrongPassword(t *testing.T) {
	for _, status := range []int{400, 401, 403} {
		server := httptest.NewServer(answer(status, "application/json", `{"error":"access_denied","error_description":"Invalid username or password"}`))
		_, err := testClient(t, server.URL, nil).Login(t.Context(), "test", "wrong")
		server.Close()
		var wrong *LoginError
		if !errors.As(err, &wrong) {
			t.Errorf("%d: error is %v", status, err)
		}
	}
}

// flaky fails the first requests as it is told to, and then answers.
func flaky(failures int, fail http.HandlerFunc) (handler http.HandlerFunc, requests *atomic.Int64) {
	requests = new(atomic.Int64)
	left := new(atomic.Int64)
	left.Store(int64(failures))
	return func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if r.URL.Path == "/api/v1/info" {
			io.WriteString(w, `{"version":"8.0.0"}`)
			return
		}
		if left.Add(-1) >= 0 {
			fail(w, r)
			return
		}
		io.WriteString(w, `{"id":12}`)
	}, requests
}

func TestRequestsAreRepeated(t *testing.T) {
	gateway := answer(502, "", "")
	busy := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(429)
	}
	cut := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	get := func(ctx context.Context, c *Client) error { _, err := c.Build(ctx, 12); return err }
	post := func(ctx context.Context, c *Client) error { _, err := c.CreateBuild(ctx, api.Plan{}, ""); return err }
	named := func(ctx context.Context, c *Client) error {
		_, err := c.CreateBuild(ctx, api.Plan{}, "key")
		return err
	}
	upload := func(ctx context.Context, c *Client) error {
		_, err := c.UploadArtifact(ctx, strings.NewReader("x"), UploadOptions{})
		return err
	}
	tests := []struct {
		name  string
		fail  http.HandlerFunc
		call  func(context.Context, *Client) error
		heard bool
		want  bool
	}{
		{"a server known before is waited for", gateway, get, true, true},
		{"a connection that was cut", cut, get, true, true},
		{"a server never heard of is not", gateway, get, false, false},
		{"unless it has cut a connection, for a while", cut, get, false, true},
		{"but what may have been done is not done twice there either", cut, post, false, false},
		{"what may have been done is not done twice", gateway, post, true, false},
		{"nor when the connection was cut", cut, post, true, false},
		{"unless it has a name", cut, named, true, true},
		{"what was turned away is tried again", busy, post, true, true},
		{"an internal error is not", answer(500, "", ""), get, true, false},
		{"a stream cannot be", busy, upload, true, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			handler, requests := flaky(2, test.fail)
			server := quietServer(handler)
			defer server.Close()
			var notices []Notice
			c := testClient(t, server.URL, func(o *Options) {
				o.Notify = func(n Notice) { notices = append(notices, n) }
			})
			if test.heard {
				if _, err := c.Info(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			requests.Store(0)
			err := test.call(t.Context(), c)
			sent := requests.Load()
			if test.want && (err != nil || sent != 3 || len(notices) != 2) {
				t.Errorf("%d requests, notices %+v, error %v", sent, notices, err)
			}
			if !test.want && (err == nil || sent != 1 || len(notices) != 0) {
				t.Errorf("%d requests, notices %+v, error %v", sent, notices, err)
			}
		})
	}
}

// An abort whose answer is lost is sent again under its name, by which the server knows
// it; the next abort is another.
func TestAnAbortHasAName(t *testing.T) {
	var mu sync.Mutex
	var names []string
	server := quietServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1/info" {
			io.WriteString(w, `{"version":"8.0.0"}`)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if names = append(names, r.Header.Get(api.RequestKeyHeader)); len(names) <= 2 {
			panic(http.ErrAbortHandler)
		}
	}))
	defer server.Close()
	c := testClient(t, server.URL, nil)
	if _, err := c.Info(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.AbortBuild(t.Context(), 12); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(names) != 4 || names[0] == "" || names[1] != names[0] || names[2] != names[0] || names[3] == names[0] {
		t.Errorf("the requests have the names %q", names)
	}
}

// A connection that a server resets as it dies, between two requests, is one that was
// cut, and not one on which it spoke out of turn.
func TestAConnectionThatIsResetWhileIdle(t *testing.T) {
	c := testClient(t, "http://127.0.0.1", nil)
	reset := &net.OpError{Op: "read", Net: "unix", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	// As net/http's Transport has it.
	err := c.transportError(t.Context(), fmt.Errorf("readLoopPeekFailLocked: %w", reset), true)
	if unreachable := (*UnreachableError)(nil); !errors.As(err, &unreachable) || unreachable.Reason != "the connection was cut" {
		t.Errorf("error is %v", err)
	}
}

// Calls that wait for the same server at once say so once.
func TestAnOutageIsToldOnce(t *testing.T) {
	var away atomic.Bool
	var waiting sync.WaitGroup // until each call has been turned away
	server := quietServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away.Load() && r.Header.Get(api.RequestKeyHeader) != "" {
			w.WriteHeader(http.StatusBadGateway)
			waiting.Done()
			waiting.Wait()
			away.Store(false)
			return
		}
		io.WriteString(w, `{"id":12}`)
	}))
	defer server.Close()
	var mu sync.Mutex
	var notices []Notice
	c := testClient(t, server.URL, func(o *Options) {
		o.Notify = func(n Notice) {
			mu.Lock()
			defer mu.Unlock()
			notices = append(notices, n)
		}
	})
	for range 2 {
		if _, err := c.Build(t.Context(), 12); err != nil { // which is heard
			t.Fatal(err)
		}
		const calls = 4
		waiting.Add(calls)
		away.Store(true)
		var group sync.WaitGroup
		for range calls {
			group.Go(func() {
				if err := c.WithTeam("other").AbortBuild(t.Context(), 12); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
	}
	if len(notices) != 4 || notices[0].Lost == nil || notices[1].Lost != nil || notices[2].Lost == nil || notices[3].Lost != nil {
		t.Errorf("of two outages was told %+v", notices)
	}
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	handler, _ := flaky(1000, answer(502, "", ""))
	server := quietServer(handler)
	defer server.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	c := testClient(t, server.URL, func(o *Options) { o.Notify = func(Notice) { cancel(cause) } })
	if _, err := c.Info(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Build(ctx, 12); err != cause {
		t.Errorf("error is %v", err)
	}
}
