package hijack

import (
	"context"
	"errors"
	"net/http"

	"github.com/coder/websocket"

	"midge/trace"
)

// Serve answers a request for a session in a place, which its caller has found and
// allowed. It speaks our own wire with those who offer Subprotocol, and fly's with
// others, and returns when the client has gone. A request that is no websocket's is
// answered with an error.
func (s *Sessions) Serve(w http.ResponseWriter, r *http.Request, place Place) {
	socket, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols:    []string{Subprotocol},
		CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		return // Accept has answered
	}
	defer socket.CloseNow()
	// The request ends only after the session's client has: whoever asks for the trace
	// then finds what is below the client's own span.
	ctx, span := trace.StartSpan(trace.FromRequest(r), "hijack", trace.Team(place.TeamName), trace.Build(place.BuildID),
		trace.Step(place.StepName), trace.Container(place.Container.Handle()))
	defer span.End(nil)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(s.ctx, cancel)
	defer stop()
	if socket.Subprotocol() == Subprotocol {
		s.serveFrames(ctx, socket, place, span)
	} else {
		s.serveFly(ctx, socket, place)
	}
}

func (s *Sessions) serveFrames(ctx context.Context, socket *websocket.Conn, place Place, span trace.Span) {
	conn := newConnection(socket)
	a, err := s.handshake(ctx, conn, place)
	if err != nil {
		span.End(err)
		conn.finish(err)
		return
	}
	a.span = span
	a.serve(ctx)
}

// handshake has the client begin a session, or attach to one. A command that is not
// there may be followed by the next that the client would rather have than none.
func (s *Sessions) handshake(ctx context.Context, conn *connection, place Place) (*framesAttachment, error) {
	waiting, done := context.WithTimeout(ctx, s.config.HandshakeTimeout)
	defer done()
	stop := conn.closeWhen(waiting)
	defer stop()
	for {
		f, err := conn.receive()
		if err != nil {
			return nil, err
		}
		var a *framesAttachment
		switch f.kind {
		case frameStart:
			a, err = s.answerStart(ctx, f, place)
		case frameAttach:
			a, err = s.answerAttach(f, place)
		default:
			err = malformed("it is %s, and the first must be start or attach", f.kind)
		}
		var missing *Error
		if errors.As(err, &missing) && missing.Code == CodeNotFound {
			if err := conn.send(encodeMessage(frameError, errorReport{Code: missing.Code, Message: missing.Message})); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		a.conn = conn
		return a, nil
	}
}

func (s *Sessions) answerStart(ctx context.Context, f frame, place Place) (*framesAttachment, error) {
	request, err := decodeMessage[startRequest](f)
	if err != nil {
		return nil, err
	}
	if request.Client == "" || len(request.Client) > 64 {
		return nil, malformed("its client must be 1 to 64 characters long")
	}
	session, err := s.start(ctx, place, request.Process, request.Client)
	if err != nil {
		return nil, err
	}
	return newFramesAttachment(session, request.Client, request.Window, false), nil
}

func (s *Sessions) answerAttach(f frame, place Place) (*framesAttachment, error) {
	request, err := decodeMessage[attachRequest](f)
	if err != nil {
		return nil, err
	}
	if request.Client == "" || len(request.Client) > 64 || request.Input < 0 || request.From != nil && *request.From < 0 {
		return nil, malformed("its client must be 1 to 64 characters long, and from and input may not be negative")
	}
	session, ok := s.Session(request.Session)
	if !ok || session.Info().Container != place.Container.Handle() {
		return nil, newError(CodeNoSession, "there is no session %s in this container: it has ended, or nobody was attached to it for too long", request.Session)
	}
	a := newFramesAttachment(session, request.Client, request.Window, request.ReadOnly)
	if request.From != nil {
		a.next = *request.From
	} else {
		a.next = max(0, session.seen.Load()-screenful)
	}
	a.written.Store(a.next)
	a.input = request.Input
	return a, nil
}

// screenful is how much of what was written before somebody sees who attaches later.
const screenful = 32 << 10
