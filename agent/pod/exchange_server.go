package pod

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

// streamBuffer is how much of a request or an answer is on its way at a time.
const streamBuffer = 4 << 20

// streamClient gives a client whose requests all go over one stream.
func streamClient(conn net.Conn) *http.Client {
	transport := &http.Transport{
		Protocols: new(http.Protocols),
		HTTP2:     &http.HTTP2Config{MaxReceiveBufferPerStream: streamBuffer, MaxReceiveBufferPerConnection: 2 * streamBuffer},
	}
	transport.Protocols.SetUnencryptedHTTP2(true)
	var once sync.Once
	transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
		dialed := net.Conn(nil)
		once.Do(func() { dialed = conn })
		if dialed == nil {
			return nil, errors.New("the stream to the server was cut")
		}
		return dialed, nil
	}
	return &http.Client{Transport: transport}
}

// stdio is standard input and output as a connection.
type stdio struct{ noDeadlines }

func (stdio) Read(p []byte) (int, error)  { return os.Stdin.Read(p) }
func (stdio) Write(p []byte) (int, error) { return os.Stdout.Write(p) }
func (stdio) Close() error                { return errors.Join(os.Stdin.Close(), os.Stdout.Close()) }

// noDeadlines is what a connection has to have besides.
type noDeadlines struct{}

func (noDeadlines) LocalAddr() net.Addr              { return streamAddr{} }
func (noDeadlines) RemoteAddr() net.Addr             { return streamAddr{} }
func (noDeadlines) SetDeadline(time.Time) error      { return nil }
func (noDeadlines) SetReadDeadline(time.Time) error  { return nil }
func (noDeadlines) SetWriteDeadline(time.Time) error { return nil }

// streamAddr is both ends' address.
type streamAddr struct{}

func (streamAddr) Network() string { return "stream" }
func (streamAddr) String() string  { return "pod" }

// TreesHandler serves the trees of an order, each by its place.
func TreesHandler(trees []http.Handler) http.Handler {
	mux := http.NewServeMux()
	for i, tree := range trees {
		place := "/" + strconv.Itoa(i)
		mux.Handle(place+"/", http.StripPrefix(place, tree))
	}
	return mux
}

// Exchange serves the program that runs in ModeExchange at the other end of the
// stream until that has done what it is ordered to. A stream that is cut is a
// *CutError: the order can be given again, and what arrived does not travel twice.
// The stream is closed then.
func Exchange(ctx context.Context, stream net.Conn, order Order, trees []http.Handler) (Report, error) {
	reported := make(chan Report, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+orderPath, func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(order) // a stream that is cut says so itself
	})
	mux.Handle(treesPath, http.StripPrefix(treesPath[:len(treesPath)-1], TreesHandler(trees)))
	mux.HandleFunc("POST "+reportPath, func(w http.ResponseWriter, r *http.Request) {
		report, err := decode[Report](r.Context(), r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		select {
		case reported <- report:
		default:
		}
	})
	server := newHTTPServer(mux)
	server.HTTP2.MaxReceiveBufferPerStream = streamBuffer
	server.HTTP2.MaxReceiveBufferPerConnection = 2 * streamBuffer
	conn := &servedConn{Conn: stream, closed: make(chan struct{})}
	listener := &oneConn{conn: make(chan net.Conn, 1), closed: make(chan struct{})}
	listener.conn <- conn
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // it ends with the exchange
	}()
	defer func() {
		server.Close()
		conn.Close()
		<-served
	}()
	select {
	case report := <-reported:
		// The other end is told that its report has arrived, and goes.
		select {
		case <-conn.closed:
		case <-time.After(leaveTimeout):
		case <-ctx.Done():
		}
		if report.Failed != "" {
			return report, errors.New(report.Failed)
		}
		return report, nil
	case <-conn.closed:
		return Report{}, fmt.Errorf("%w: %w", &CutError{}, cmp.Or(conn.failure(), io.ErrUnexpectedEOF))
	case <-ctx.Done():
		return Report{}, ctx.Err()
	}
}

// leaveTimeout is how long a pod's end of an exchange may take to go once it has reported.
const leaveTimeout = 10 * time.Second

// A servedConn knows when it was closed, and what it failed with.
type servedConn struct {
	net.Conn
	once   sync.Once
	closed chan struct{}

	mu     sync.Mutex
	failed error
}

func (c *servedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		c.mu.Lock()
		c.failed = cmp.Or(c.failed, err)
		c.mu.Unlock()
	}
	return n, err
}

func (c *servedConn) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

func (c *servedConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// oneConn is a listener with one connection.
type oneConn struct {
	conn   chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conn:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *oneConn) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *oneConn) Addr() net.Addr { return streamAddr{} }
