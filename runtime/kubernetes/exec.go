package kubernetes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream"
	httpstreamspdy "k8s.io/streaming/pkg/httpstream/spdy"

	"midge/agent/pod"
)

// dialer gives what makes streams to the first process of a pod. They are made again
// while what keeps them from being made may pass; a pod that is no more is a *PodError.
func (w *Worker) dialer(handle, name, program string) func(ctx context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		outage := w.outage(name)
		outage.begin()
		conn, err := w.dial(ctx, handle, name, outage.fail, taskContainer, program, pod.ModeConnect, pod.Dir)
		if err == nil {
			outage.end()
		}
		return conn, err
	}
}

// dial makes a stream to midge-agent, which that command starts in a pod's container.
// failed, if it is not nil, is told why it cannot be made yet.
func (w *Worker) dial(ctx context.Context, handle, name string, failed func(error), container string, command ...string) (net.Conn, error) {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		conn, err := w.execSoon(ctx, name, container, command)
		if err == nil {
			return conn, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err := w.whyUnreachable(ctx, handle, name, err); err != nil {
			return nil, err
		}
		if failed != nil {
			failed(err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("pod %s cannot be reached: %w (%w)", name, err, ctx.Err())
		case <-time.After(wait):
		}
	}
}

// execSoon is exec, given up when it takes as long as what leads there does not take: a
// node that is lost never says so.
func (w *Worker) execSoon(ctx context.Context, name, container string, command []string) (net.Conn, error) {
	limited, cancel := context.WithTimeout(ctx, 2*w.options.RequestTimeout)
	defer cancel()
	conn, err := w.exec(limited, name, container, command)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return nil, &noAnswerError{after: 2 * w.options.RequestTimeout, err: err}
	}
	return conn, err
}

// whyUnreachable says why a pod will never be reached, nil when it may be.
func (w *Worker) whyUnreachable(ctx context.Context, handle, name string, err error) error {
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
		return fmt.Errorf("reach into pod %s: %w", name, explainRequest(err))
	}
	p, err := w.getPod(ctx, name)
	switch {
	case apierrors.IsNotFound(err):
		return &PodError{Pod: name, Message: fmt.Sprintf("pod %s was deleted", name), handle: handle}
	case err != nil && !passes(err):
		return fmt.Errorf("look at pod %s: %w", name, explainRequest(err))
	case err != nil:
		return nil
	}
	return ended(p)
}

// exec runs a command in a pod's container, and gives its standard input and output as a
// connection once it has greeted.
func (w *Worker) exec(ctx context.Context, name, container string, command []string) (net.Conn, error) {
	// The stream outlives who asked for it.
	streaming, cancel := context.WithCancel(context.WithoutCancel(ctx))
	executor, err := w.executor(streaming, name, container, command)
	if err != nil {
		cancel()
		return nil, err
	}
	if by, ok := ctx.Deadline(); ok {
		streaming = handshake{streaming, by}
	}
	// What becomes of a stream the one who reads it is told.
	streaming = klog.NewContext(streaming, logr.Discard())
	input, write := io.Pipe()
	read, output := io.Pipe()
	c := &execConn{read: read, write: write, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(c.ended)
		var said tail
		err := executor.StreamWithContext(streaming, remotecommand.StreamOptions{Stdin: input, Stdout: output, Stderr: &said})
		if err == nil {
			err = io.EOF
		} else if text := said.String(); text != "" {
			err = fmt.Errorf("%w (%s)", err, text)
		}
		output.CloseWithError(err)
		input.CloseWithError(io.ErrClosedPipe)
	}()
	stop := context.AfterFunc(ctx, func() {
		cancel()
		read.CloseWithError(ctx.Err()) // at once, whatever hangs
	})
	err = pod.ReadGreeting(read)
	if !stop() {
		err = errors.Join(ctx.Err(), err)
	}
	if err != nil {
		c.abandon()
		return nil, err
	}
	return c, nil
}

// A handshake is the context of a stream that is to be there by some time. Who waits for
// an answer to the request for a websocket ends by this, and not when it is cancelled.
type handshake struct {
	context.Context
	by time.Time
}

func (h handshake) Deadline() (time.Time, bool) { return h.by, true }

// executor gives what runs a command in a pod's container: over a websocket, or over SPDY where
// something between does not let that pass. What it has open ends with ctx.
func (w *Worker) executor(ctx context.Context, name, container string, command []string) (remotecommand.Executor, error) {
	url := w.client.RESTClient().Post().Resource("pods").Namespace(w.options.Namespace).Name(name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{
			Container: container,
			Command:   command,
			Stdin:     true,
			Stdout:    true,
			Stderr:    true,
		}, scheme.ParameterCodec).URL()
	websocket, err := remotecommand.NewWebSocketExecutor(w.config, "GET", url.String())
	if err != nil {
		return nil, err
	}
	overSPDY, err := spdyExecutor(ctx, w.config, url)
	if err != nil {
		return nil, err
	}
	return remotecommand.NewFallbackExecutor(websocket, overSPDY, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
}

// spdyExecutor gives what runs a command over SPDY. Whoever waits there for the answer to
// the first request does so without a context: the connection is shut when ctx ends.
func spdyExecutor(ctx context.Context, config *rest.Config, url *url.URL) (remotecommand.Executor, error) {
	encryption, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, err
	}
	proxy := http.ProxyFromEnvironment
	if config.Proxy != nil {
		proxy = config.Proxy
	}
	connection, err := httpstreamspdy.NewRoundTripperWithConfig(httpstreamspdy.RoundTripperConfig{
		TLS: encryption, Proxier: proxy, PingPeriod: spdyPing,
	})
	if err != nil {
		return nil, err
	}
	connection.Dialer = &net.Dialer{Control: func(_, _ string, conn syscall.RawConn) error {
		context.AfterFunc(ctx, func() {
			// One that was closed needs no more.
			_ = conn.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) })
		})
		return nil
	}}
	transport, err := rest.HTTPWrappersForConfig(config, connection)
	if err != nil {
		return nil, err
	}
	return remotecommand.NewSPDYExecutorForTransports(transport, spdy.NewUpgraderForStreaming(connection), http.MethodPost, url)
}

// spdyPing is how often something is sent over SPDY, so that nothing between takes the
// connection for idle.
const spdyPing = 5 * time.Second

// An execConn is a command's standard input and output as a connection.
type execConn struct {
	pod.NoDeadlines
	read   *io.PipeReader
	write  *io.PipeWriter
	cancel context.CancelFunc
	ended  chan struct{}
}

func (c *execConn) Read(p []byte) (int, error)  { return c.read.Read(p) }
func (c *execConn) Write(p []byte) (int, error) { return c.write.Write(p) }

func (c *execConn) Close() error {
	c.abandon()
	<-c.ended
	return nil
}

// abandon is Close for a stream that may yet have to find out that it is not wanted.
func (c *execConn) abandon() {
	c.cancel()
	c.read.Close()
	c.write.Close()
}

// A tail keeps the beginning of what a command says of its failure.
type tail struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text.Write(p[:min(len(p), max(0, 1000-t.text.Len()))])
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(t.text.String())
}
