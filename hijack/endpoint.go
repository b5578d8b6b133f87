package hijack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/coder/websocket"

	rest "midge/client" // a client here is that of a session
	"midge/trace"
)

// Endpoint is where a server takes sessions in one container.
type Endpoint struct {
	// URL is the container's hijack resource, http or https.
	URL string
	// Client makes the requests; its transport says which proxy, certificates and
	// socket are used. Nil is http.DefaultClient.
	Client *http.Client
	// Header is sent with each request; Authorization is in it.
	Header http.Header
}

// ResponseError tells that the server has answered, and did not take the request.
type ResponseError struct {
	StatusCode int
	Message    string // what the server says, on one line; may be empty
	// RetryAfter is when it may be asked again; 0 when it does not say.
	RetryAfter time.Duration
}

func (e *ResponseError) Error() string {
	message := fmt.Sprintf("the server answers %d %s", e.StatusCode, http.StatusText(e.StatusCode))
	if e.Message != "" {
		message += ": " + e.Message
	}
	return message
}

// permanent tells whether asking again would change nothing.
func (e *ResponseError) permanent() bool {
	return e.StatusCode >= 400 && e.StatusCode < 500 && e.StatusCode != http.StatusTooManyRequests
}

// busy tells that the server would take the request later, and when.
func busy(err error) (after time.Duration, ok bool) {
	var response *ResponseError
	if !errors.As(err, &response) || response.StatusCode != http.StatusTooManyRequests && response.StatusCode != http.StatusServiceUnavailable {
		return 0, false
	}
	return response.RetryAfter, response.RetryAfter > 0
}

// connect dials for the first time.
func (e Endpoint) connect(ctx context.Context) (_ *websocket.Conn, err error) {
	ctx, span := trace.StartSpan(ctx, "connect")
	defer func() { span.End(err) }()
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	return e.dial(ctx)
}

// dial connects, offering our own wire. What the server does not take is a *ResponseError.
func (e Endpoint) dial(ctx context.Context) (*websocket.Conn, error) {
	socket, response, err := websocket.Dial(ctx, e.URL, &websocket.DialOptions{
		HTTPClient:      e.Client,
		HTTPHeader:      e.Header.Clone(),
		Subprotocols:    []string{Subprotocol},
		CompressionMode: websocket.CompressionDisabled,
	})
	if err == nil {
		return socket, nil
	}
	if response != nil && response.StatusCode != http.StatusSwitchingProtocols {
		return nil, &ResponseError{response.StatusCode, said(response), rest.RetryAfter(response.Header)}
	}
	return nil, fmt.Errorf("connect to %s: %w", e.URL, err)
}

// said gives what a server says that did not take the request.
func said(response *http.Response) string {
	const most = 16 << 10
	// What of it came is as good as any.
	body, _ := io.ReadAll(io.LimitReader(response.Body, most))
	line, _, _ := bytes.Cut(bytes.TrimSpace(body), []byte("\n"))
	return rest.ServerMessage(response, line)
}
