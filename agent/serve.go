package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"
	"time"

	"midge/agent/frame"
)

// accept serves each connection until the listener is closed.
func (s *supervisor) accept() {
	for {
		c, err := s.listener.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			slog.Error("accept a connection", "error", err)
			return
		}
		s.mu.Lock()
		s.open[c] = struct{}{}
		s.conns.Add(1)
		s.mu.Unlock()
		go func() {
			defer s.conns.Done()
			s.serve(c)
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.open, c)
		}()
	}
}

// serve answers one request after the other.
func (s *supervisor) serve(c *net.UnixConn) {
	conn := frame.NewConn(c)
	defer conn.Close()
	for {
		f, err := conn.Receive()
		if err != nil {
			return
		}
		for _, file := range f.Files {
			file.Close()
		}
		r, gone, err := s.handle(conn, f)
		r.Error = errorOf(err)
		err = conn.Send(frameResponse, encode(r), r.files...)
		for _, file := range r.files {
			file.Close()
		}
		if err != nil {
			return
		}
		if gone != nil {
			<-gone
			return
		}
	}
}

// handle does what a frame asks. When gone is not nil the connection is being
// watched, and of no further use but to be closed when the other end has.
func (s *supervisor) handle(conn *frame.Conn, f frame.Frame) (r response, gone <-chan struct{}, err error) {
	switch f.Type {
	case frameInput:
		in, err := parseInput(f.Payload)
		if err != nil {
			return response{}, nil, err
		}
		r.Offset, err = s.write(in)
		return r, nil, err
	case frameRequest:
		var q request
		if err := json.Unmarshal(f.Payload, &q); err != nil {
			return response{}, nil, fmt.Errorf("decode request: %w", err)
		}
		switch q.Operation {
		case opFollow, opWait:
			gone, err = s.follow(conn, q)
			return response{}, gone, err
		case opListen:
			r.files, err = s.listen(q.Process)
			return r, nil, err
		case opRoot:
			r.files, err = s.openRoot()
			return r, nil, err
		}
		return response{}, nil, s.do(q)
	default:
		return response{}, nil, fmt.Errorf("a frame of type %q is no request", f.Type)
	}
}

func (s *supervisor) write(in input) (int64, error) {
	p, err := s.lookUp(in.process)
	if err != nil {
		return 0, err
	}
	if p.input == nil {
		return 0, &Error{Kind: ErrorSpec, Message: fmt.Sprintf("process %q takes no input", in.process)}
	}
	return p.input.write(in.offset, in.data)
}

func (s *supervisor) do(q request) error {
	switch q.Operation {
	case opRun:
		if q.Run == nil {
			return errors.New("a request to run says not what")
		}
		return s.runProcess(*q.Run)
	case opStop:
		s.stopBy(time.Now().Add(q.Grace))
		return nil
	}
	p, err := s.lookUp(q.Process)
	if err != nil {
		return err
	}
	switch q.Operation {
	case opCloseStdin:
		if p.input == nil {
			return nil
		}
		return p.input.closeStdin()
	case opResize:
		if q.Size == nil {
			return errors.New("a request to resize says not to what")
		}
		return p.resize(*q.Size)
	case opSignal:
		return s.first.Signal(q.Process, syscall.Signal(q.Signal))
	default:
		return fmt.Errorf("the operation %q is not known", q.Operation)
	}
}

// follow tells the other end how a process gets on, for as long as it listens.
func (s *supervisor) follow(conn *frame.Conn, q request) (gone <-chan struct{}, err error) {
	p, err := s.lookUp(q.Process)
	if err != nil {
		return nil, err
	}
	if q.Operation == opFollow {
		return p.serveFollower(conn, q.From)
	}
	gone = watch(conn, func(int64) {})
	select {
	case <-p.ended:
	case <-gone:
	}
	return gone, nil
}

// watch receives what the other end says of its reading. The channel is closed
// when the other end has closed; the connection is of no other use until then.
func watch(conn *frame.Conn, read func(sequence int64)) <-chan struct{} {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for {
			m, err := conn.Receive()
			if err != nil || m.Type != frameRead {
				return
			}
			if sequence, err := parseRead(m.Payload); err == nil {
				read(sequence)
			}
		}
	}()
	return gone
}

// serveFollower tells the other end how far the output has come, until all of it
// has, or the other end has closed.
func (p *process) serveFollower(conn *frame.Conn, from int64) (gone <-chan struct{}, err error) {
	f := p.follow(from)
	defer f.leave()
	gone = watch(conn, f.readTo)
	sent := progress{end: -1}
	for {
		select {
		case <-f.changed:
		case <-gone:
			return gone, nil
		}
		now := f.progress()
		if now == sent {
			continue
		}
		if err := conn.Send(frameProgress, now.append(nil)); err != nil {
			return gone, err
		}
		if now.ended {
			return gone, nil
		}
		sent = now
	}
}
