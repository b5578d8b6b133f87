package pod

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// TreesHandler serves the trees of an order, each by its place.
func TreesHandler(trees []http.Handler) http.Handler {
	mux := http.NewServeMux()
	for i, tree := range trees {
		place := "/" + strconv.Itoa(i)
		mux.Handle(place+"/", http.StripPrefix(place, tree))
	}
	return mux
}

// Exchange serves the program that runs in ModeExchange at the other end of the
// stream until that has done what it is ordered to. A stream that is cut is a
// *CutError: the order can be given again, and what arrived does not travel twice.
// The stream is closed then.
func Exchange(ctx context.Context, stream net.Conn, order Order, trees []http.Handler) (Report, error) {
	reported := make(chan Report, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+orderPath, func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(order) // a stream that is cut says so itself
	})
	mux.Handle(treesPath, http.StripPrefix(treesPath[:len(treesPath)-1], TreesHandler(trees)))
	mux.HandleFunc("POST "+reportPath, func(w http.ResponseWriter, r *http.Request) {
		report, err := decode[Report](r.Context(), r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		select {
		case reported <- report:
		default:
		}
	})
	server := newHTTPServer(mux)
	server.HTTP2.MaxReceiveBufferPerStream = streamBuffer
	server.HTTP2.MaxReceiveBufferPerConnection = 2 * streamBuffer
	conn := &servedConn{Conn: stream, closed: make(chan struct{})}
	listener := &oneConn{conn: make(chan net.Conn, 1), closed: make(chan struct{})}
	listener.conn <- conn
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // it ends with the exchange
	}()
	defer func() {
		server.Close()
		conn.Close()
		<-served
	}()
	report, err := awaitReport(ctx, reported, conn)
	if err == nil && report.Failed != "" {
		err = errors.New(report.Failed)
	}
	return report, err
}

// awaitReport waits for a report, and for who has made it to go.
func awaitReport(ctx context.Context, reported <-chan Report, conn *servedConn) (Report, error) {
	select {
	case report := <-reported:
		// The other end is told that its report has arrived, and goes.
		select {
		case <-conn.closed:
		case <-time.After(leaveTimeout):
		case <-ctx.Done():
		}
		return report, nil
	case <-conn.closed:
	case <-ctx.Done():
		return Report{}, ctx.Err()
	}
	select {
	case report := <-reported: // who has made it was quick to go
		return report, nil
	default:
		return Report{}, fmt.Errorf("%w: %w", &CutError{}, cmp.Or(conn.failure(), io.ErrUnexpectedEOF))
	}
}

// leaveTimeout is how long a pod's end of an exchange may take to go once it has reported.
const leaveTimeout = 10 * time.Second
