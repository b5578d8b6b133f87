package execute

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"midge/artifacts/transfer"
	"midge/client"
)

// ErrNoTrees tells of a server that does not move trees by content, as no Concourse does.
var ErrNoTrees = errors.New("the server is no midge that moves artifacts by content; send and fetch them with: midge execute")

// trees sends the requests of package transfer by a client. The client waits for a
// server that is away, so that its errors are final: they end the transfer.
type trees struct {
	client *client.Client
	ready  func() error // waits until requests may be sent
	giveUp context.CancelCauseFunc
}

// withTrees gives the artifacts of the client's team, and the context of the transfer.
func withTrees(ctx context.Context, c *client.Client, ready func() error) (context.Context, *transfer.Remote, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	remote := &transfer.Remote{
		Client: &trees{c, ready, cancel},
		URL:    c.ArtifactsURL(),
		Name:   c.ArtifactsName(),
	}
	return ctx, remote, cancel
}

func (t *trees) Do(request *http.Request) (*http.Response, error) {
	err := t.ready()
	if err == nil {
		var response *http.Response
		if response, err = t.client.Exchange(request); err == nil {
			return response, nil
		}
	}
	t.giveUp(err)
	return nil, err
}

// transferError gives why a transfer in ctx ended. What package client says needs no more
// words; to all else whole adds what cannot be done.
func transferError(ctx context.Context, whole func(reason error) error, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if refused := (*transfer.ServerError)(nil); errors.As(err, &refused) && refused.Message != "" {
		err = errors.New(refused.Message)
	}
	return whole(err)
}

// tellEvery is how often somebody is told how far a transfer is.
const tellEvery = 50 * time.Millisecond

// meter adds up how far a transfer is, and tells it from time to time.
type meter struct {
	files, moved, total atomic.Int64
	told                atomic.Int64 // when, in nanoseconds since 1970
	tell                func(files, moved, total int64)
}

// Scanned implements transfer.Progress.
func (m *meter) Scanned(files, _ int64) { m.add(&m.files, files) }

// Moved implements transfer.Progress.
func (m *meter) Moved(bytes int64) { m.add(&m.moved, bytes) }

// Total implements transfer.Progress.
func (m *meter) Total(bytes int64) {
	m.total.Store(bytes)
	m.tell(m.files.Load(), m.moved.Load(), bytes)
}

func (m *meter) add(counter *atomic.Int64, n int64) {
	counter.Add(n)
	now, told := time.Now().UnixNano(), m.told.Load()
	if now-told < int64(tellEvery) || !m.told.CompareAndSwap(told, now) {
		return
	}
	m.tell(m.files.Load(), m.moved.Load(), m.total.Load())
}
