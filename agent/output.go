package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"

	"midge/agent/frame"
	"midge/agent/spool"
)

// An Output reads what a process writes: from disk, the supervisor saying when
// there is more. It is for one goroutine at a time.
type Output struct {
	ctx     context.Context
	client  *Client
	process Process
	reader  *spool.Reader

	conn *frame.Conn // nil when there is nobody to hear from
	stop func() bool

	end   int64 // on disk, as far as is known
	ended bool  // nothing will follow end
	told  int64 // the supervisor knows that what is before it was read
	held  bool  // it is told by ReadTo alone
}

// Output reads a process's output from a sequence number on. Earlier than what is
// kept starts at what is kept. ctx is for the reading too.
func (c *Client) Output(ctx context.Context, id string, from int64) (*Output, error) {
	process, err := c.Process(id)
	if err != nil {
		return nil, err
	}
	path, err := processPath(c.dir, id)
	if err != nil {
		return nil, err
	}
	o := &Output{ctx: ctx, client: c, process: process, stop: func() bool { return true }}
	ended, err := c.Ended(id)
	if err != nil {
		return nil, err
	}
	if ended {
		o.ended = true
	} else if err := o.follow(from); err != nil {
		return nil, err
	}
	// What a bounded spool keeps is settled once the supervisor knows of a reader.
	if o.reader, err = spool.Open(filepath.Join(path, spoolDir), from); err != nil {
		o.Close()
		return nil, fmt.Errorf("read the output of process %q: %w", id, err)
	}
	o.told = o.reader.Sequence()
	return o, nil
}

// Hold has what Next gives count as read only when ReadTo says so: for one who passes
// it on. It is called before Next.
func (o *Output) Hold() { o.held = true }

// ReadTo lets the supervisor know that what is before the sequence number was read,
// of an output that is held. It may be called while Next waits.
func (o *Output) ReadTo(sequence int64) error {
	if o.conn == nil || o.process.Scrollback == 0 {
		return nil
	}
	return o.conn.Send(frameRead, appendRead(nil, sequence))
}

// follow asks the supervisor to tell how far the output has come.
func (o *Output) follow(from int64) error {
	conn, err := o.client.dial(o.ctx)
	if errors.Is(err, ErrDown) {
		return o.supervisorGone()
	}
	if err != nil {
		return err
	}
	o.conn = conn
	o.stop = context.AfterFunc(o.ctx, func() { conn.Close() })
	if err := conn.Send(frameRequest, encode(request{Operation: opFollow, Process: o.process.ID, From: from})); err != nil {
		return o.failed(err)
	}
	return o.hear()
}

// Next waits for more. It gives io.EOF after the last byte of a process that has
// ended, and a *LostError in its place when the supervisor was killed before that.
// Record.Data is valid until the next call.
func (o *Output) Next() (spool.Record, error) {
	for {
		if o.ended || o.reader.Sequence() < o.end {
			o.limit()
			record, err := o.reader.Next()
			if !errors.Is(err, io.EOF) {
				return record, err
			}
			if o.ended {
				return spool.Record{}, io.EOF
			}
		}
		if err := o.ctx.Err(); err != nil {
			return spool.Record{}, err
		}
		if err := o.tell(); err != nil {
			return spool.Record{}, err
		}
		if err := o.hear(); err != nil {
			return spool.Record{}, err
		}
	}
}

// limit has the reader read as far as the supervisor has come, and to the end of what
// will not change any more.
func (o *Output) limit() {
	if o.ended {
		o.reader.Limit(math.MaxInt64)
		return
	}
	o.reader.Limit(o.end)
}

// Close ends the reading.
func (o *Output) Close() error {
	o.stop()
	var err error
	if o.conn != nil {
		if o.process.Scrollback > 0 && !o.held && o.reader != nil && o.reader.Sequence() > o.told {
			// One that is gone needs not to know.
			_ = o.conn.Send(frameRead, appendRead(nil, o.reader.Sequence()))
		}
		err = o.conn.Close()
	}
	if o.reader != nil {
		err = errors.Join(err, o.reader.Close())
	}
	return err
}

// tell lets the supervisor know up to where has been read, when it may be waiting
// to know.
func (o *Output) tell() error {
	unknown := o.reader.Sequence() - o.told
	if o.held || o.process.Scrollback == 0 || unknown == 0 || unknown < o.process.Scrollback/4 {
		return nil
	}
	o.told = o.reader.Sequence()
	if err := o.conn.Send(frameRead, appendRead(nil, o.told)); err != nil {
		return o.failed(err)
	}
	return nil
}

// hear waits for the supervisor to say how far the output has come.
func (o *Output) hear() error {
	f, err := o.conn.Receive()
	if err != nil {
		return o.failed(err)
	}
	switch f.Type {
	case frameProgress:
		p, err := parseProgress(f.Payload)
		if err != nil {
			return err
		}
		o.end, o.ended = p.end, p.ended
		return nil
	case frameResponse: // a supervisor that did not start the process
		return o.supervisorGone()
	default:
		return fmt.Errorf("the container's supervisor sent a frame of type %q to one that follows output", f.Type)
	}
}

func (o *Output) failed(err error) error {
	if o.ctx.Err() != nil {
		return o.ctx.Err()
	}
	if err := gone(err); !errors.Is(err, ErrDown) {
		return err
	}
	return o.supervisorGone()
}

// supervisorGone settles whether all of the output is on disk, now that none will follow.
func (o *Output) supervisorGone() error {
	ended, err := o.client.Ended(o.process.ID)
	if err != nil {
		return err
	}
	if !ended {
		return &LostError{Process: o.process.ID}
	}
	o.ended = true
	return nil
}
