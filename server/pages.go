package server

import (
	"bytes"
	"crypto/rand"
	"embed"
	"html/template"
	"net/http"
	"strings"
	"time"

	"midge/api"
)

// A page is plain HTML that works without scripts, styles or fonts from elsewhere.
//
//go:embed pages/*.html
var pageFiles embed.FS

var pageTemplates = template.Must(template.New("").Funcs(template.FuncMap{
	"moment": shownMoment,
	"took":   shownDuration,
}).ParseFS(pageFiles, "pages/*.html"))

// shownMoment shows Unix seconds, 0 being not yet.
func shownMoment(seconds int64) string {
	if seconds == 0 {
		return ""
	}
	return time.Unix(seconds, 0).UTC().Format("2006-01-02 15:04:05 UTC")
}

// shownDuration shows how long a build that has finished has taken.
func shownDuration(build api.Build) string {
	if build.EndTime == 0 || build.StartTime == 0 {
		return ""
	}
	return (time.Duration(build.EndTime-build.StartTime) * time.Second).String()
}

// frame is what every page has.
type frame struct {
	Title string
	// Nonce marks the styles and scripts that are the server's own.
	Nonce string
	// User is who reads the page, "" for somebody who has not logged in; LoggedIn
	// tells that the user can log out.
	User     string
	LoggedIn bool
}

func newFrame(title string) frame { return frame{Title: title, Nonce: rand.Text()} }

// frameFor is that of a page that needs a login.
func frameFor(r *http.Request, title string) frame {
	f, who := newFrame(title), requester(r)
	f.User, f.LoggedIn = who.name, who.tokenID != 0
	return f
}

// sendPage answers with a page whose nonce is in data too. Forms may lead to the
// server itself and to the origins of forms.
func (s *Server) sendPage(w http.ResponseWriter, r *http.Request, status int, name, nonce string, data any, forms ...string) {
	var page bytes.Buffer
	if err := pageTemplates.ExecuteTemplate(&page, name, data); err != nil {
		s.fail(w, r, err)
		return
	}
	begin(w, "text/html; charset=utf-8")
	header := w.Header()
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'nonce-"+nonce+"'; script-src 'nonce-"+nonce+
		"'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action "+strings.Join(append([]string{"'self'"}, forms...), " "))
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	w.WriteHeader(status)
	// The only error is that of a client that has gone.
	_, _ = page.WriteTo(w)
}

// messagePage is a page of one sentence.
type messagePage struct {
	frame
	Message string
}

func (s *Server) sendMessage(w http.ResponseWriter, r *http.Request, status int, title, message string) {
	page := messagePage{newFrame(title), message}
	s.sendPage(w, r, status, "message", page.Nonce, page)
}
