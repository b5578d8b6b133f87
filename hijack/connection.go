package hijack

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

const (
	// pingInterval is below the idle limits of ordinary proxies and load balancers.
	pingInterval = 10 * time.Second
	// silentIntervals is for how many of them nothing may arrive before the connection
	// counts as lost.
	silentIntervals = 3
	// handshakeTimeout bounds the time from the connection to the first answer.
	handshakeTimeout = 30 * time.Second

	// minWindow and maxWindow bound how many bytes of output may be under way.
	minWindow = 2 * maxData
	maxWindow = 4 << 20
	// inputWindow is how many bytes of input may be under way.
	inputWindow = 1 << 20
)

// connection carries frames over a websocket. One goroutine may receive while
// others send.
type connection struct {
	socket *websocket.Conn
	// reading is that of all messages. It has no end, unless cuttable has been called: one
	// that may end costs something for each message.
	reading context.Context
	cut     context.CancelFunc

	sending sync.Mutex
	buffer  []byte // of the message that is being sent

	received []byte // the last message
	heard    atomic.Int64
}

func newConnection(socket *websocket.Conn) *connection {
	socket.SetReadLimit(maxMessage)
	c := &connection{socket: socket, reading: context.Background(), cut: func() {}}
	c.heard.Store(time.Now().UnixNano())
	return c
}

// cuttable is called before the connection carries a session, by who may leave an end that does not answer: a
// Close of the socket waits for that, CloseNow waits for the Close, and both end with the reading.
func (c *connection) cuttable() {
	c.reading, c.cut = context.WithCancel(context.Background())
}

// send sends a frame. What ends it early is the socket's being closed.
func (c *connection) send(f frame) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	c.buffer = f.appendTo(c.buffer[:0])
	return c.socket.Write(context.Background(), websocket.MessageBinary, c.buffer)
}

// receive gives the next frame, whose data is good until the next call.
func (c *connection) receive() (frame, error) {
	kind, message, err := c.socket.Reader(c.reading)
	if err != nil {
		return frame{}, c.receiveError(err)
	}
	if kind != websocket.MessageBinary {
		return frame{}, malformed("it is text, and frames are binary")
	}
	c.received = c.received[:0]
	for {
		if len(c.received) == cap(c.received) {
			c.received = append(c.received, 0)[:len(c.received)]
		}
		n, err := message.Read(c.received[len(c.received):cap(c.received)])
		c.received = c.received[:len(c.received)+n]
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return frame{}, c.receiveError(err)
		}
	}
	c.heard.Store(time.Now().UnixNano())
	return parseFrame(c.received)
}

// receiveError gives the error of a message that could not be received.
func (c *connection) receiveError(err error) error {
	if c.reading.Err() != nil {
		return net.ErrClosed
	}
	return err
}

// errSilent tells that the other end has not been heard for too long.
var errSilent = errors.New("nothing was heard for too long")

// ping pings until ctx ends. It pings twice: the websocket's own, which proxies see, and
// a frame, which has the other end's program answer.
func (c *connection) ping(ctx context.Context, interval time.Duration) error {
	return every(ctx, interval, func() error {
		if err := c.send(frame{kind: framePing, offset: time.Now().UnixMilli()}); err != nil {
			return err
		}
		pingSocket(ctx, c.socket, interval)
		return nil
	})
}

// awaitSilence waits until the other end is silent for too long, which is errSilent. It
// sends nothing, and so does not wait for one who reads nothing either.
func (c *connection) awaitSilence(ctx context.Context, interval time.Duration) error {
	return every(ctx, interval, func() error {
		if time.Now().UnixNano()-c.heard.Load() > int64(silentIntervals*interval) {
			return errSilent
		}
		return nil
	})
}

// closeWhen closes the socket when ctx ends, which ends whatever waits for it.
func (c *connection) closeWhen(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		c.cut()
		c.socket.CloseNow()
	})
}

// finishTimeout bounds the time it takes to say goodbye.
const finishTimeout = 5 * time.Second

// finish tells the other end why the connection ends, if it does not know, and
// closes it.
func (c *connection) finish(err error) {
	status, report := goodbye(err)
	if status == -1 {
		c.socket.CloseNow()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), finishTimeout)
	defer cancel()
	defer c.closeWhen(ctx)()
	if report != nil && c.send(encodeMessage(frameError, errorReport{Code: report.Code, Message: report.Message})) != nil {
		return
	}
	c.socket.Close(status, "")
}

// goodbye gives what a connection that ends by err is closed with: -1 when there is
// nobody to close it with.
func goodbye(err error) (websocket.StatusCode, *Error) {
	var report *Error
	var bad *malformedError
	switch {
	case err == nil, errors.Is(err, errAcknowledged):
		return websocket.StatusNormalClosure, nil
	case errors.As(err, &report):
		return websocket.StatusNormalClosure, report
	case errors.As(err, &bad), errors.Is(err, websocket.ErrMessageTooBig):
		return websocket.StatusProtocolError, newError(CodeMalformed, "%v", err)
	case websocket.CloseStatus(err) != -1, errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, errSilent), errors.Is(err, context.Canceled):
		return -1, nil
	}
	return websocket.StatusInternalError, newError(CodeFailed, "%v", err)
}
