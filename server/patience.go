package server

import (
	"io"
	"log/slog"
	"net/http"
	"time"
)

// Of a connection that nobody sends anything over, or not to the end.
const (
	headerTimeout = 30 * time.Second // for the whole header
	idleTimeout   = 2 * time.Minute  // between two requests
)

// newHTTPServer gives a server that no connection can keep waiting, whoever is at its
// other end: neither with the header of a request, which has a greatest size too, nor with a
// body, nor between two requests.
func newHTTPServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           bodiesEnd(handler),
		ConnContext:       withConnection,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// bodiesEnd bounds how long a body may take that next does not read, which net/http then
// does itself before it answers. Handlers that read one say how long that may take.
func bodiesEnd(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			controller := http.NewResponseController(w)
			_ = controller.SetReadDeadline(time.Now().Add(bodyTimeout))
			r.Body = &endingBody{r.Body, controller}
		}
		next.ServeHTTP(w, r)
	})
}

// endingBody takes the deadline away when the body has come to its end: otherwise it
// would cut off a handler that takes longer than its client did.
type endingBody struct {
	io.ReadCloser
	controller *http.ResponseController
}

func (b *endingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		_ = b.controller.SetReadDeadline(time.Time{})
	}
	return n, err
}

// transferTimeout is how long the body of a request or an answer may stand still.
const transferTimeout = time.Minute

// patient lets bodies take as long as they need, if only they move.
func patient(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		controller := http.NewResponseController(w)
		if r.ContentLength != 0 {
			r.Body = &patientBody{r.Body, controller}
		}
		next(&patientWriter{w, controller}, r)
	}
}

// patientBody puts off the deadline of a request's body each time it is read.
type patientBody struct {
	io.ReadCloser
	controller *http.ResponseController
}

func (p *patientBody) Read(b []byte) (int, error) {
	_ = p.controller.SetReadDeadline(time.Now().Add(transferTimeout))
	return p.ReadCloser.Read(b)
}

// patientWriter puts off the deadline of an answer each time it is written to.
type patientWriter struct {
	http.ResponseWriter
	controller *http.ResponseController
}

func (p *patientWriter) Write(b []byte) (int, error) {
	_ = p.controller.SetWriteDeadline(time.Now().Add(transferTimeout))
	return p.ResponseWriter.Write(b)
}

// Unwrap lets an http.ResponseController find what is beneath.
func (p *patientWriter) Unwrap() http.ResponseWriter { return p.ResponseWriter }
