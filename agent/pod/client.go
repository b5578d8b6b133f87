package pod

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"midge/agent"
	"midge/agent/pid1"
	"midge/api"
)

// A Client speaks with the first process of one container. It makes a connection
// when it needs one, and another when one is cut. All methods may be called from
// many goroutines; their errors are those of agent.Client. The times they give are by this
// machine's clock, whatever that of the pod's node is.
type Client struct {
	dial  func(ctx context.Context) (net.Conn, error)
	clock clock

	mu      sync.Mutex
	current *connection
	closed  bool
}

// A connection is one that is there, or is being made.
type connection struct {
	made chan struct{} // closed once conn or err is there
	conn *http.ClientConn
	err  error
}

// ErrClosed tells that the client was closed.
var ErrClosed = errors.New("the connection to the pod was closed")

// NewClient gives a client that makes its connections by dial. What dial fails with
// the client's methods give: it waits for what will pass.
func NewClient(dial func(ctx context.Context) (net.Conn, error)) *Client {
	return &Client{dial: dial}
}

// Close ends what is under way, and all that is begun later.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	current := c.current
	c.mu.Unlock()
	if current == nil {
		return
	}
	select {
	case <-current.made:
		if current.conn != nil {
			current.conn.Close()
		}
	default: // who makes it finds the client closed
	}
}

// connect gives the connection, made by the first who needs it.
func (c *Client) connect(ctx context.Context) (*connection, error) {
	for {
		c.mu.Lock()
		if c.closed {
			c.mu.Unlock()
			return nil, ErrClosed
		}
		current, own := c.current, false
		if current == nil {
			current, own = &connection{made: make(chan struct{})}, true
			c.current = current
		}
		c.mu.Unlock()
		if own {
			c.make(ctx, current)
		}
		select {
		case <-current.made:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if current.err == nil {
			return current, nil
		}
		// Another's context may be what it failed for.
		if own || !errors.Is(current.err, context.Canceled) && !errors.Is(current.err, context.DeadlineExceeded) {
			return nil, current.err
		}
	}
}

func (c *Client) make(ctx context.Context, to *connection) {
	to.conn, to.err = c.dialHTTP(ctx)
	c.mu.Lock()
	if to.err == nil && c.closed {
		to.conn.Close()
		to.conn, to.err = nil, ErrClosed
	}
	if to.err != nil && c.current == to {
		c.current = nil
	}
	c.mu.Unlock()
	close(to.made)
}

// dialHTTP gives a new connection. One that is cut before it is there is made again, as
// one is that is cut later.
func (c *Client) dialHTTP(ctx context.Context) (*http.ClientConn, error) {
	for {
		stream, err := c.dial(ctx)
		if err != nil {
			return nil, err
		}
		conn, err := newTransport(stream).NewClientConn(ctx, "http", "pod:80")
		if err == nil {
			return conn, nil
		}
		stream.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// newTransport gives what speaks HTTP/2 over a stream.
func newTransport(stream net.Conn) *http.Transport {
	t := &http.Transport{
		Protocols:   new(http.Protocols),
		DialContext: func(context.Context, string, string) (net.Conn, error) { return stream, nil },
		// A connection may hang without being cut, somewhere between.
		HTTP2: &http.HTTP2Config{
			SendPingTimeout:           15 * time.Second,
			PingTimeout:               15 * time.Second,
			MaxReceiveBufferPerStream: 1 << 20,
		},
	}
	t.Protocols.SetUnencryptedHTTP2(true)
	return t
}

// drop has the next request make a new connection in place of this one.
func (c *Client) drop(broken *connection) {
	c.mu.Lock()
	if c.current == broken {
		c.current = nil
	}
	c.mu.Unlock()
	broken.conn.Close()
}

// request makes a request, again when the connection is cut before it is answered,
// unless body gives an error. The answer is a good one; the caller closes its body.
func (c *Client) request(ctx context.Context, method, path string, body func() (io.Reader, error)) (*http.Response, error) {
	for {
		conn, err := c.connect(ctx)
		if err != nil {
			return nil, err
		}
		var content io.Reader
		if body != nil {
			if content, err = body(); err != nil {
				return nil, err
			}
		}
		asked := time.Now()
		response, err := ask(ctx, conn.conn.RoundTrip, method, "http://pod"+path, content)
		if err == nil {
			c.clock.note(asked, time.Now(), response.Header)
			response.Body = &answer{response.Body, conn.conn}
			if err = checked(ctx, response); err == nil {
				return response, nil
			}
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				return nil, err
			}
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !broken(conn.conn, err) {
			return nil, err
		}
		c.drop(conn)
	}
}

// broken tells whether err, of a request, is the connection's.
func broken(conn *http.ClientConn, err error) bool {
	return conn.Err() != nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, io.ErrClosedPipe)
}

// An answer is a body that ends with io.ErrUnexpectedEOF when its connection does, whatever
// that has ended with.
type answer struct {
	io.ReadCloser
	conn *http.ClientConn
}

func (a *answer) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && a.conn.Err() != nil {
		err = fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err)
	}
	return n, err
}

// checked gives what an answer says that is not a good one.
func checked(ctx context.Context, response *http.Response) error {
	if response.StatusCode == http.StatusOK {
		return nil
	}
	defer response.Body.Close()
	if response.StatusCode != statusFailed {
		return fmt.Errorf("the pod's midge-agent answered with %q: it may be of another version", response.Status)
	}
	f, err := decode[failure](ctx, response.Body)
	if err != nil {
		return fmt.Errorf("decode the answer of the pod's midge-agent: %w", err)
	}
	return f.err()
}

// call makes a request of JSON, and gives the answer as a T. A cut answer is asked for again.
func call[T any](ctx context.Context, c *Client, method, path string, content any) (T, error) {
	var encoded []byte
	var zero T
	if content != nil {
		var err error
		if encoded, err = json.Marshal(content); err != nil {
			return zero, err
		}
	}
	return callWith[T](ctx, c, method, path, encoded)
}

func callWith[T any](ctx context.Context, c *Client, method, path string, content []byte) (T, error) {
	for {
		response, err := c.request(ctx, method, path, func() (io.Reader, error) { return bytes.NewReader(content), nil })
		if err != nil {
			var zero T
			return zero, err
		}
		answer, err := decode[T](ctx, response.Body)
		response.Body.Close()
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return answer, err
		}
	}
}

// none is the answer to what is only done.
type none struct{}

// State says how far the container is.
func (c *Client) State(ctx context.Context) (State, error) {
	return call[State](ctx, c, http.MethodGet, "/state", nil)
}

// Configure has processes be started. A container that was configured stays as it is.
func (c *Client) Configure(ctx context.Context, config Config) error {
	_, err := call[none](ctx, c, http.MethodPut, "/config", config)
	return err
}

// Run starts a process. One that may have been started by a request whose answer was
// lost is taken for started.
func (c *Client) Run(ctx context.Context, p agent.Process) error {
	encoded, err := json.Marshal(p)
	if err != nil {
		return err
	}
	attempts := 0
	response, err := c.request(ctx, http.MethodPost, "/processes", func() (io.Reader, error) {
		attempts++
		return bytes.NewReader(encoded), nil
	})
	if e := (*agent.Error)(nil); attempts > 1 && errors.As(err, &e) && e.Kind == agent.ErrorExists {
		return nil
	}
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// Processes lists the ids of all processes that were started.
func (c *Client) Processes(ctx context.Context) ([]string, error) {
	return call[[]string](ctx, c, http.MethodGet, "/processes", nil)
}

// Process gives what a process was started as. That there is none is an *agent.Error of agent.ErrorNotFound.
func (c *Client) Process(ctx context.Context, id string) (agent.Process, error) {
	if !agent.ValidID(id) {
		return agent.Process{}, &agent.Error{Kind: agent.ErrorNotFound, Message: fmt.Sprintf("process %q not found", id)}
	}
	return call[agent.Process](ctx, c, http.MethodGet, processPath(id, ""), nil)
}

// Ended tells whether a process has ended.
func (c *Client) Ended(ctx context.Context, id string) (bool, error) {
	return call[bool](ctx, c, http.MethodGet, processPath(id, "/ended"), nil)
}

// Wait waits for a process's end, and for all of its output to be kept.
func (c *Client) Wait(ctx context.Context, id string) (agent.Exit, error) {
	exit, err := call[agent.Exit](ctx, c, http.MethodGet, processPath(id, "/exit"), nil)
	return c.LocalExit(exit), err
}

// Usage gives what the container used while a process ran, nil when nothing is recorded.
func (c *Client) Usage(ctx context.Context, id string) (*api.ResourceUsage, error) {
	used, err := call[*api.ResourceUsage](ctx, c, http.MethodGet, processPath(id, "/usage"), nil)
	if err != nil || used == nil {
		return nil, err
	}
	ahead := c.clock.ahead()
	if used.Baseline != nil {
		used.Baseline.Timestamp = used.Baseline.Timestamp.Add(ahead)
	}
	for i := range used.Samples {
		used.Samples[i].Timestamp = used.Samples[i].Timestamp.Add(ahead)
	}
	return used, nil
}

// LocalTime gives a moment that the pod's node has noted by this machine's clock, as far as
// the answers of the pod have told how the clocks differ.
func (c *Client) LocalTime(at time.Time) time.Time { return at.Add(c.clock.ahead()) }

// LocalExit gives how a process has ended with the times as LocalTime has them.
func (c *Client) LocalExit(exit agent.Exit) agent.Exit {
	ahead := c.clock.ahead()
	exit.Started, exit.Ended = exit.Started.Add(ahead), exit.Ended.Add(ahead)
	return exit
}

// Write gives a process input, as agent.Client.Write does.
func (c *Client) Write(ctx context.Context, id string, from int64, data []byte) (int64, error) {
	taken := from
	for {
		piece := data[taken-from:]
		piece = piece[:min(len(piece), maxInput/2)]
		path := processPath(id, "/input?offset="+strconv.FormatInt(taken, 10))
		answer, err := callWith[offset](ctx, c, http.MethodPost, path, piece)
		if err != nil {
			return taken, err
		}
		taken = max(taken, answer.Offset)
		if taken >= from+int64(len(data)) || len(piece) == 0 {
			return taken, nil
		}
	}
}

// CloseStdin tells a process that no input follows.
func (c *Client) CloseStdin(ctx context.Context, id string) error {
	_, err := call[none](ctx, c, http.MethodPost, processPath(id, "/close-stdin"), nil)
	return err
}

// Resize sets the size of a process's terminal.
func (c *Client) Resize(ctx context.Context, id string, size pid1.Size) error {
	_, err := call[none](ctx, c, http.MethodPost, processPath(id, "/resize"), size)
	return err
}

// Signal signals a process's group.
func (c *Client) Signal(ctx context.Context, id string, s syscall.Signal) error {
	_, err := call[none](ctx, c, http.MethodPost, processPath(id, "/signal?signal="+url.QueryEscape(unix.SignalName(s))), nil)
	return err
}

func signalNumber(name string) (syscall.Signal, error) {
	number := unix.SignalNum(name)
	if number == 0 {
		return 0, &agent.Error{Kind: agent.ErrorSpec, Message: fmt.Sprintf("there is no signal %q", name)}
	}
	return number, nil
}

// Stop ends all processes, by force when grace has passed, and returns when none is
// left. What is run after that starts the container again.
func (c *Client) Stop(ctx context.Context, grace time.Duration) error {
	_, err := call[none](ctx, c, http.MethodPost, "/stop?grace="+grace.String(), nil)
	return err
}

// Quit has the first process end, and so everything in the container. It does
// nothing when there is no connection.
func (c *Client) Quit(ctx context.Context) error {
	c.mu.Lock()
	current := c.current
	c.mu.Unlock()
	if current == nil {
		return nil
	}
	select {
	case <-current.made:
	default:
		return nil
	}
	if current.err != nil {
		return nil
	}
	response, err := ask(ctx, current.conn.RoundTrip, http.MethodPost, "http://pod/quit", nil)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

func processPath(id, rest string) string { return "/processes/" + url.PathEscape(id) + rest }
