package pod

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// streamBuffer is how much of a request or an answer is on its way at a time.
const streamBuffer = 4 << 20

// streamClient gives a client whose requests all go over one stream, which is the
// client's from then on. A transport would make a second connection for a request that
// comes before the first connection is among those that it keeps.
func streamClient(ctx context.Context, conn net.Conn) (*http.Client, error) {
	transport := &http.Transport{
		Protocols:   new(http.Protocols),
		HTTP2:       &http.HTTP2Config{MaxReceiveBufferPerStream: streamBuffer, MaxReceiveBufferPerConnection: 2 * streamBuffer},
		DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil },
	}
	transport.Protocols.SetUnencryptedHTTP2(true)
	client, err := transport.NewClientConn(ctx, "http", streamHost)
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: client}, nil
}

// ask makes a request of a kind that is answered at once.
func ask(ctx context.Context, do func(*http.Request) (*http.Response, error), method, url string, content io.Reader) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, content)
	if err != nil {
		return nil, err
	}
	return do(r)
}

// stdio is standard input and output as a connection.
type stdio struct{ NoDeadlines }

func (stdio) Read(p []byte) (int, error)  { return os.Stdin.Read(p) }
func (stdio) Write(p []byte) (int, error) { return os.Stdout.Write(p) }
func (stdio) Close() error                { return errors.Join(os.Stdin.Close(), os.Stdout.Close()) }

// NoDeadlines has a stream be a net.Conn: its ends have no addresses, and whoever waits
// too long closes it.
type NoDeadlines struct{}

func (NoDeadlines) LocalAddr() net.Addr              { return streamAddr{} }
func (NoDeadlines) RemoteAddr() net.Addr             { return streamAddr{} }
func (NoDeadlines) SetDeadline(time.Time) error      { return nil }
func (NoDeadlines) SetReadDeadline(time.Time) error  { return nil }
func (NoDeadlines) SetWriteDeadline(time.Time) error { return nil }

// streamAddr is both ends' address.
type streamAddr struct{}

func (streamAddr) Network() string { return "stream" }
func (streamAddr) String() string  { return "pod" }

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
