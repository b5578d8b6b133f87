package server

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections are in memory, so that the time between what is
// sent over them passes at once.
type pipes struct {
	connections chan net.Conn
	closed      chan struct{}
	once        sync.Once
}

func newPipes() *pipes {
	return &pipes{connections: make(chan net.Conn, 1), closed: make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.connections:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// Nobody keeps a connection for longer than is said, by whatever is not sent.
func TestConnectionsEnd(t *testing.T) {
	const (
		header = "POST / HTTP/1.1\r\nHost: midge\r\n"
		get    = "GET / HTTP/1.1\r\nHost: midge\r\n\r\n"
	)
	reading := func(w http.ResponseWriter, r *http.Request) {
		var value any
		readJSON(w, r, 1<<20, "the value", &value)
	}
	refusing := func(w http.ResponseWriter, r *http.Request) { fail(w, http.StatusUnauthorized, "not authorized") }
	copying := func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
		sent    string
		within  time.Duration
	}{
		{"nothing", refusing, "", headerTimeout},
		{"half a header", refusing, header + "X: ", headerTimeout},
		{"nothing after a request", refusing, get, idleTimeout},
		{"half a second header", refusing, get + header, headerTimeout},
		{"no body, unread", refusing, header + "Content-Length: 100\r\n\r\n", bodyTimeout},
		{"half a body, unread", refusing, header + "Content-Length: 100\r\n\r\n{", bodyTimeout},
		{"half a chunk, unread", refusing, header + "Transfer-Encoding: chunked\r\n\r\n64\r\n{", bodyTimeout},
		{"half a body of JSON", reading, header + "Content-Length: 100\r\n\r\n{", bodyTimeout},
		{"half an upload", patient(copying), header + "Content-Length: 100\r\n\r\nx", transferTimeout},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				listener := newPipes()
				s := newHTTPServer(test.handler, slog.New(slog.DiscardHandler))
				served := make(chan error, 1)
				go func() { served <- s.Serve(listener) }()
				conn, other := net.Pipe()
				listener.connections <- other
				go func() { _, _ = io.WriteString(conn, test.sent) }()
				began := time.Now()
				_, _ = io.Copy(io.Discard, conn) // until the server ends it
				if took := time.Since(began); took > test.within+time.Second {
					t.Errorf("the connection was kept for %v, and should be for %v", took, test.within)
				}
				if err := conn.Close(); err != nil {
					t.Error(err)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				if err := <-served; err != http.ErrServerClosed {
					t.Error(err)
				}
			})
		})
	}
}

// A body that is slow and does arrive is taken, and a request that takes long is not cut.
func TestSlowIsNotStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := newPipes()
		s := newHTTPServer(patient(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			select {
			case <-time.After(10 * bodyTimeout):
			case <-r.Context().Done():
				err = r.Context().Err()
			}
			fmt.Fprintf(w, "%d bytes, %v", len(body), err)
		}), slog.New(slog.DiscardHandler))
		served := make(chan error, 1)
		go func() { served <- s.Serve(listener) }()
		conn, other := net.Pipe()
		listener.connections <- other
		for _, body := range []string{"", strings.Repeat("x", 10)} {
			sent := make(chan error, 1)
			go func() {
				_, err := fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: midge\r\nContent-Length: %d\r\n\r\n", len(body))
				for _, c := range []byte(body) {
					time.Sleep(transferTimeout / 2)
					if _, failed := conn.Write([]byte{c}); failed != nil {
						err = failed
					}
				}
				sent <- err
			}()
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(response.Body)
			if want := fmt.Sprintf("%d bytes, <nil>", len(body)); string(answer) != want || err != nil {
				t.Errorf("the answer is %q (%v), want %q", answer, err, want)
			}
			if err := <-sent; err != nil {
				t.Error(err)
			}
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		<-served
	})
}
