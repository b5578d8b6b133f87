package server

import (
	"io"
	"net/http"
	"time"
)

// transferTimeout is how long the body of a request or an answer may stand still.
const transferTimeout = time.Minute

// patient lets bodies take as long as they need, if only they move.
func patient(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		controller := http.NewResponseController(w)
		r.Body = &patientBody{r.Body, controller}
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
