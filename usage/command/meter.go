// Package command tells what a command used itself, on the machine where it was
// typed: time, cpu, memory, and what it sent and received. It is apart from package
// usage because what samples containers is to start quickly and needs no HTTP.
package command

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"midge/api"
)

// Meter counts what a command uses itself. Its methods may be called from many goroutines.
type Meter struct {
	started        time.Time
	sent, received atomic.Uint64
	requests       atomic.Uint64
}

// StartMeter begins to count.
func StartMeter() *Meter { return &Meter{started: time.Now()} }

// Transport counts the requests that go through base. The bytes are counted by the
// connections that DialContext makes.
func (m *Meter) Transport(base http.RoundTripper) http.RoundTripper {
	return countingTransport{base, m}
}

type countingTransport struct {
	base  http.RoundTripper
	meter *Meter
}

func (t countingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	t.meter.requests.Add(1)
	return t.base.RoundTrip(r)
}

// DialContext makes dial give connections that count their bytes, those of TLS and
// of web sockets included.
func (m *Meter) DialContext(dial func(ctx context.Context, network, address string) (net.Conn, error)) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &countingConn{conn, m}, nil
	}
}

type countingConn struct {
	net.Conn
	meter *Meter
}

func (c *countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.meter.received.Add(uint64(n))
	return n, err
}

func (c *countingConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.meter.sent.Add(uint64(n))
	return n, err
}

// Usage gives what was used until now.
func (m *Meter) Usage() api.ClientUsage {
	usage := api.ClientUsage{
		WallNanos:     time.Since(m.started).Nanoseconds(),
		SentBytes:     m.sent.Load(),
		ReceivedBytes: m.received.Load(),
		Requests:      m.requests.Load(),
	}
	addProcess(&usage)
	return usage
}
