package pod

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"

	"midge/agent"
	"midge/agent/spool"
)

// acknowledgeHeader tells that the process may wait until it is told how much of its
// output has arrived.
const acknowledgeHeader = "Midge-Acknowledge"

// output answers with what a process writes. The request's body says meanwhile up to
// where that has arrived.
func (s *server) output(w http.ResponseWriter, r *http.Request) {
	from, err := strconv.ParseInt(r.FormValue("from"), 10, 64)
	if err != nil {
		writeFailure(w, err)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	out, err := s.client.Output(ctx, r.PathValue("id"), from)
	if err != nil {
		writeFailure(w, err)
		return
	}
	defer out.Close()
	process, err := s.client.Process(r.PathValue("id"))
	if err != nil {
		writeFailure(w, err)
		return
	}
	out.Hold()
	if process.Scrollback > 0 {
		w.Header().Set(acknowledgeHeader, "yes")
	}
	acknowledging := make(chan struct{})
	go func() {
		defer close(acknowledging)
		acknowledge(r.Body, out)
	}()
	defer func() { <-acknowledging }()
	defer r.Body.Close() // ends who reads it
	pass(w, out)
}

// acknowledge hands on up to where output has arrived.
func acknowledge(body io.Reader, out *agent.Output) {
	var number [8]byte
	for {
		if _, err := io.ReadFull(body, number[:]); err != nil {
			return
		}
		if out.ReadTo(int64(binary.BigEndian.Uint64(number[:]))) != nil {
			return
		}
	}
}

// pass writes records until the end, or until they can be written no more.
func pass(w http.ResponseWriter, out *agent.Output) {
	flush := http.NewResponseController(w).Flush
	if flush() != nil { // the header says that there is such a process
		return
	}
	var buffer []byte
	for {
		record, err := out.Next()
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				_, _ = w.Write(appendLast(buffer[:0], err))
			}
			return
		}
		buffer = appendRecord(buffer[:0], record)
		if _, err := w.Write(buffer); err != nil {
			return
		}
		if flush() != nil {
			return
		}
	}
}

// An Output reads what a process writes. It is for one goroutine at a time, but for Close.
type Output struct {
	ctx    context.Context
	cancel context.CancelFunc
	client *Client
	id     string

	next   int64 // the sequence number to go on at
	buffer []byte
	end    error // what it has ended with

	mu     sync.Mutex
	stream *outputStream // nil when there is none
}

// Output reads a process's output from a sequence number on. Earlier than what is
// kept starts at what is kept. ctx is for the reading too.
func (c *Client) Output(ctx context.Context, id string, from int64) (*Output, error) {
	ctx, cancel := context.WithCancel(ctx)
	o := &Output{ctx: ctx, cancel: cancel, client: c, id: id, next: from}
	if _, err := o.open(); err != nil {
		cancel()
		return nil, err
	}
	return o, nil
}

// open gives the stream that there is, or a new one.
func (o *Output) open() (*outputStream, error) {
	o.mu.Lock()
	s := o.stream
	o.mu.Unlock()
	if s != nil {
		return s, nil
	}
	ctx, cancel := context.WithCancel(o.ctx)
	var acks *io.PipeWriter
	path := "/processes/" + o.id + "/output?from=" + strconv.FormatInt(o.next, 10)
	response, err := o.client.request(ctx, http.MethodPost, path, func() (io.Reader, error) {
		var body *io.PipeReader
		body, acks = io.Pipe()
		return body, nil
	})
	if err != nil {
		cancel()
		return nil, err
	}
	s = &outputStream{ctx: ctx, cancel: cancel, body: response.Body, acks: acks, arrived: make(chan int64, 1)}
	s.acknowledging.Go(s.acknowledge)
	// A request whose body is still being sent does not see its context end.
	context.AfterFunc(ctx, func() { s.acks.Close() })
	s.wanted = response.Header.Get(acknowledgeHeader) != ""
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stream = s
	return s, nil
}

// Next waits for more. It gives io.EOF after the last byte of a process that has
// ended, and an *agent.LostError in its place when how that ended is not known.
// Record.Data is valid until the next call.
func (o *Output) Next() (spool.Record, error) {
	for o.end == nil {
		s, err := o.open()
		if err != nil {
			o.end = err
			break
		}
		var record spool.Record
		record, o.buffer, err = readRecord(s.body, o.buffer)
		if err == nil {
			o.next = record.Sequence + int64(len(record.Data))
			s.haveArrived(o.next)
			record.Time = o.client.LocalTime(record.Time)
			return record, nil
		}
		o.closeStream()
		if cut := (*cutError)(nil); errors.As(err, &cut) && o.ctx.Err() == nil {
			continue // where it was
		}
		o.end = cmp.Or(o.ctx.Err(), err)
	}
	return spool.Record{}, o.end
}

// Close ends the reading.
func (o *Output) Close() error {
	o.cancel()
	o.closeStream()
	return nil
}

func (o *Output) closeStream() {
	o.mu.Lock()
	s := o.stream
	o.stream = nil
	o.mu.Unlock()
	if s != nil {
		s.close()
	}
}

// An outputStream is an answer to a request for output.
type outputStream struct {
	ctx    context.Context
	cancel context.CancelFunc
	body   io.ReadCloser

	wanted        bool // to be told how much has arrived
	acks          *io.PipeWriter
	arrived       chan int64
	acknowledging sync.WaitGroup
}

// haveArrived has it told that what is before the sequence number has arrived.
func (s *outputStream) haveArrived(sequence int64) {
	if !s.wanted {
		return
	}
	// What was to be told before, and is not yet, this tells too.
	select {
	case <-s.arrived:
	default:
	}
	s.arrived <- sequence
}

func (s *outputStream) acknowledge() {
	for {
		select {
		case sequence := <-s.arrived:
			// When the stream is cut whoever reads it finds out.
			_, _ = s.acks.Write(binary.BigEndian.AppendUint64(nil, uint64(sequence)))
		case <-s.ctx.Done():
			return
		}
	}
}

func (s *outputStream) close() {
	s.cancel()
	s.acks.Close()
	s.body.Close()
	s.acknowledging.Wait()
}
