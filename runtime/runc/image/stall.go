package image

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// errStalled is why a body that stopped coming ends.
var errStalled = errors.New("the registry stopped sending")

// stallTransport ends a response whose body does not go on for that long.
type stallTransport struct {
	*http.Transport
	timeout time.Duration
}

func (t *stallTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(request.Context())
	response, err := t.Transport.RoundTrip(request.WithContext(ctx))
	if err != nil {
		cancel(nil)
		return nil, err
	}
	body := &stallBody{ReadCloser: response.Body, ctx: ctx, cancel: cancel, timeout: t.timeout}
	body.timer = time.AfterFunc(t.timeout, func() { cancel(errStalled) })
	response.Body = body
	return response, nil
}

type stallBody struct {
	io.ReadCloser
	ctx     context.Context
	cancel  context.CancelCauseFunc
	timer   *time.Timer
	timeout time.Duration
}

func (b *stallBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.timeout)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop() // what the reader does in between is not the registry's time
	if err != nil && err != io.EOF && errors.Is(context.Cause(b.ctx), errStalled) {
		err = errStalled
	}
	return n, err
}

func (b *stallBody) Close() error {
	b.timer.Stop()
	b.cancel(nil)
	return b.ReadCloser.Close()
}
