package usage

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"midge/api"
)

// Client counts what a command uses itself. Its methods may be called from many goroutines.
type Client struct {
	started        time.Time
	sent, received atomic.Uint64
	requests       atomic.Uint64
}

// StartClient begins to count.
func StartClient() *Client { return &Client{started: time.Now()} }

// Transport counts the requests that go through base. The bytes are counted by the
// connections that DialContext makes.
func (c *Client) Transport(base http.RoundTripper) http.RoundTripper {
	return countingTransport{base, c}
}

type countingTransport struct {
	base   http.RoundTripper
	client *Client
}

func (t countingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	t.client.requests.Add(1)
	return t.base.RoundTrip(r)
}

// DialContext makes dial give connections that count their bytes, those of TLS and
// of web sockets included.
func (c *Client) DialContext(dial func(ctx context.Context, network, address string) (net.Conn, error)) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &countingConn{conn, c}, nil
	}
}

type countingConn struct {
	net.Conn
	client *Client
}

func (c *countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.client.received.Add(uint64(n))
	return n, err
}

func (c *countingConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.client.sent.Add(uint64(n))
	return n, err
}

// Usage gives what was used until now.
func (c *Client) Usage() api.ClientUsage {
	usage := api.ClientUsage{
		WallNanos:     time.Since(c.started).Nanoseconds(),
		SentBytes:     c.sent.Load(),
		ReceivedBytes: c.received.Load(),
		Requests:      c.requests.Load(),
	}
	addProcess(&usage)
	return usage
}
