package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"midge/agent/frame"
	"midge/agent/pid1"
	"midge/agent/record"
	"midge/api"
)

// ErrDown tells that the container is not up: it has no supervisor.
var ErrDown = errors.New("the container is not running")

// A LostError tells that a process's supervisor was killed before it had recorded
// the process's end, or that its disk failed so that it could not.
type LostError struct{ Process string }

func (e *LostError) Error() string {
	return fmt.Sprintf("the supervisor of process %q was killed or its disk failed, and how the process ended is not known", e.Process)
}

// A Client speaks with the supervisor of one container, and reads what that has
// recorded, also when it is no more. All methods may be called from many goroutines.
type Client struct {
	dir string

	mu     sync.Mutex
	idle   []*frame.Conn
	closed bool
}

// NewClient gives a client for the container in dir.
func NewClient(dir string) *Client { return &Client{dir: dir} }

// Close closes the client's idle connections, and each other one when what it is
// used for is done. The supervisor stays.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, conn := range c.idle {
		conn.Close()
	}
	c.idle = nil
}

// Running tells whether the container is up.
func (c *Client) Running(ctx context.Context) (bool, error) {
	conn, err := c.dial(ctx)
	if errors.Is(err, ErrDown) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, conn.Close()
}

// Run starts a process. What the supervisor refuses is an *Error.
func (c *Client) Run(ctx context.Context, p Process) error {
	_, err := c.call(ctx, request{Operation: opRun, Run: &p})
	return err
}

// Write gives a process input, data being what follows the first offset bytes, and
// says how many bytes it has been given then. Bytes it was given already are passed over.
func (c *Client) Write(ctx context.Context, id string, offset int64, data []byte) (int64, error) {
	r, err := c.exchange(ctx, frameInput, input{process: id, offset: offset, data: data}.append(nil))
	if ended, endErr := c.endedOr(id, err); ended {
		return offset, cmp.Or(endErr, error(errEnded))
	}
	return max(r.Offset, offset), err
}

// CloseStdin tells a process that no input follows.
func (c *Client) CloseStdin(ctx context.Context, id string) error {
	return c.toProcess(ctx, request{Operation: opCloseStdin, Process: id})
}

// Resize sets the size of a process's terminal.
func (c *Client) Resize(ctx context.Context, id string, size pid1.Size) error {
	return c.toProcess(ctx, request{Operation: opResize, Process: id, Size: &size})
}

// Signal signals a process's group.
func (c *Client) Signal(ctx context.Context, id string, s syscall.Signal) error {
	return c.toProcess(ctx, request{Operation: opSignal, Process: id, Signal: int(s)})
}

// Wait waits for a process's end, and for all of its output to be on disk.
func (c *Client) Wait(ctx context.Context, id string) (Exit, error) {
	exit, ok, err := c.exit(id)
	if ok || err != nil {
		return exit, err
	}
	conn, err := c.dial(ctx)
	if err == nil {
		defer conn.Close()
		_, err = c.over(ctx, conn, frameRequest, encode(request{Operation: opWait, Process: id}))
	}
	if err != nil && !isEnd(err) {
		return Exit{}, err
	}
	exit, ok, err = c.exit(id)
	if err == nil && !ok {
		err = &LostError{Process: id}
	}
	return exit, err
}

// Stop ends all processes, by force when grace has passed, and returns when the
// container is down. One that is down already is no error.
func (c *Client) Stop(ctx context.Context, grace time.Duration) error {
	_, err := c.call(ctx, request{Operation: opStop, Grace: grace})
	if errors.Is(err, ErrDown) {
		return nil
	}
	return err
}

// Root opens the container's root directory as its processes see it; O_PATH is all that
// it is open for. It is ErrDown, or an *Error of ErrorGone, when the container is down.
func (c *Client) Root(ctx context.Context) (*os.File, error) {
	r, err := c.call(ctx, request{Operation: opRoot})
	if err != nil {
		return nil, err
	}
	if len(r.files) != 1 {
		r.closeFiles()
		return nil, fmt.Errorf("the container's supervisor gave %d root directories", len(r.files))
	}
	return r.files[0], nil
}

// Processes lists the ids of all processes that were started.
func (c *Client) Processes() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(c.dir, processDir))
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(entries))
	for _, entry := range entries {
		ids = append(ids, entry.Name())
	}
	return ids, nil
}

// Process gives what a process was started as. That there is none is an *Error of ErrorNotFound.
func (c *Client) Process(id string) (Process, error) {
	path, err := processPath(c.dir, id)
	if err != nil {
		return Process{}, notFound(id)
	}
	p, err := record.Read[Process](filepath.Join(path, specFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Process{}, notFound(id)
	}
	return p, err
}

// Ended tells whether a process has ended, as it is recorded.
func (c *Client) Ended(id string) (bool, error) {
	path, err := processPath(c.dir, id)
	if err != nil {
		return false, err
	}
	return exists(filepath.Join(path, exitFile))
}

func notFound(id string) *Error {
	return &Error{Kind: ErrorNotFound, Message: fmt.Sprintf("process %q not found", id)}
}

// exit reads a process's exit, if it is recorded.
func (c *Client) exit(id string) (Exit, bool, error) {
	path, err := processPath(c.dir, id)
	if err != nil {
		return Exit{}, false, err
	}
	exit, err := record.Read[Exit](filepath.Join(path, exitFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Exit{}, false, nil
	}
	return exit, err == nil, err
}

// Usage gives what the container used while a process ran that was to be sampled, and
// of any other what itself did, as it is recorded; nil when nothing is.
func (c *Client) Usage(_ context.Context, id string) (*api.ResourceUsage, error) {
	path, err := processPath(c.dir, id)
	if err != nil {
		return nil, err
	}
	used, err := record.Read[*api.ResourceUsage](filepath.Join(path, usageFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return used, err
}

// isEnd tells whether err says that the process's supervisor is no more: there is
// none, or it is a later one, which did not start the process.
func isEnd(err error) bool {
	e := (*Error)(nil)
	return errors.Is(err, ErrDown) || errors.As(err, &e) && (e.Kind == ErrorNotFound || e.Kind == ErrorGone)
}

// toProcess asks something of a process that is done when it has ended.
func (c *Client) toProcess(ctx context.Context, q request) error {
	_, err := c.call(ctx, q)
	if ended, endErr := c.endedOr(q.Process, err); ended {
		return endErr
	}
	return err
}

// endedOr tells whether err comes of the process having ended, and why that is an error if it is one.
func (c *Client) endedOr(id string, err error) (bool, error) {
	if err == nil || !isEnd(err) {
		return false, nil
	}
	ended, err := c.Ended(id)
	if err == nil && !ended {
		err = &LostError{Process: id}
	}
	return true, err
}

func (c *Client) call(ctx context.Context, q request) (response, error) {
	return c.exchange(ctx, frameRequest, encode(q))
}

// exchange sends a request over an idle connection, or a new one, and gives the answer.
func (c *Client) exchange(ctx context.Context, typ byte, payload []byte) (response, error) {
	for {
		conn := c.takeIdle()
		idle := conn != nil
		if !idle {
			var err error
			if conn, err = c.dial(ctx); err != nil {
				return response{}, err
			}
		}
		r, err := c.over(ctx, conn, typ, payload)
		if e := (*Error)(nil); err == nil || errors.As(err, &e) {
			c.keep(conn)
			return r, err
		}
		conn.Close()
		// An idle one may be of a supervisor that is no more, with another in its place.
		if !idle || !errors.Is(err, ErrDown) {
			return response{}, err
		}
	}
}

// over sends a request and gives the answer. An *Error is one.
func (c *Client) over(ctx context.Context, conn *frame.Conn, typ byte, payload []byte) (response, error) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	f, err := roundTrip(conn, typ, payload)
	if err != nil {
		if ctx.Err() != nil {
			return response{}, ctx.Err()
		}
		return response{}, gone(err)
	}
	if f.Type != frameResponse {
		return response{}, fmt.Errorf("the container's supervisor answered with a frame of type %q", f.Type)
	}
	r := response{files: f.Files}
	if err := json.Unmarshal(f.Payload, &r); err != nil {
		r.closeFiles()
		return response{}, fmt.Errorf("decode the answer of the container's supervisor: %w", err)
	}
	if r.Error != nil {
		return r, r.Error
	}
	if !stop() { // conn was closed, or is about to be
		r.closeFiles()
		return response{}, ctx.Err()
	}
	return r, nil
}

func roundTrip(conn *frame.Conn, typ byte, payload []byte) (frame.Frame, error) {
	if err := conn.Send(typ, payload); err != nil {
		return frame.Frame{}, err
	}
	return conn.Receive()
}

// gone makes of an error of the connection what it means.
func gone(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
		return ErrDown
	}
	return err
}

func (c *Client) takeIdle() *frame.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.idle)
	if n == 0 {
		return nil
	}
	conn := c.idle[n-1]
	c.idle = c.idle[:n-1]
	return conn
}

func (c *Client) keep(conn *frame.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		conn.Close()
		return
	}
	c.idle = append(c.idle, conn)
}

func (c *Client) dial(ctx context.Context) (*frame.Conn, error) {
	// A socket's path is bounded to a hundred bytes or so, a directory's is not.
	dir, err := os.Open(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrDown
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	path := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), socketFile)
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) {
		return nil, ErrDown
	}
	if err != nil {
		return nil, fmt.Errorf("reach the supervisor of container %s: %w", strings.TrimSuffix(filepath.Base(c.dir), "/"), err)
	}
	return frame.NewConn(conn.(*net.UnixConn)), nil
}
