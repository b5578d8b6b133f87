package client

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"midge/terminal"
)

// URLError tells that a server's URL cannot be one.
type URLError struct{ URL string }

func (e *URLError) Error() string {
	return fmt.Sprintf("%q is no URL of a server; give one like https://midge.example.com, http://127.0.0.1:8080 or unix:///run/midge/midge.sock", terminal.Line(e.URL))
}

// UnreachableError tells that no server answers at a URL.
type UnreachableError struct {
	URL string
	// Reason is what the network said, in a few words.
	Reason string
	Err    error

	unsent bool // not a byte of the request can have arrived
}

func (e *UnreachableError) Error() string {
	what := fmt.Sprintf("no server answers at %s (%s)", e.URL, e.Reason)
	if strings.HasPrefix(e.URL, "unix://") || onThisMachine(e.URL) {
		return what + `; start one with "sudo midge server", or choose another with --target`
	}
	return what + `; look at its URL with "midge targets", or choose another with --target`
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// onThisMachine reports whether the URL's host is a loopback address.
func onThisMachine(text string) bool {
	parsed, err := url.Parse(text)
	if err != nil {
		return false
	}
	host := parsed.Hostname()
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// SocketError tells that the user may not use a server's socket.
type SocketError struct {
	URL string
	Err error
}

func (e *SocketError) Error() string {
	return fmt.Sprintf("you may not use the server's socket %s; join the group midge, or log in over TCP with: midge -t local login -c http://127.0.0.1:8080",
		strings.TrimPrefix(e.URL, "unix://"))
}

func (e *SocketError) Unwrap() error { return e.Err }

// CertificateError tells that an https server is not trusted.
type CertificateError struct {
	URL    string
	Target string
	Reason string
	Err    error
}

func (e *CertificateError) Error() string {
	what := fmt.Sprintf("the certificate of %s is not trusted (%s); ", e.URL, e.Reason)
	if errors.As(e.Err, new(x509.HostnameError)) {
		return what + "give its URL with the name that it has there"
	}
	return what + fmt.Sprintf("trust its authority with: %s --ca-cert FILE", loginCommandAt(e.Target, e.URL))
}

func (e *CertificateError) Unwrap() error { return e.Err }

// ClientCertificateError tells that the client's own certificate is no good.
type ClientCertificateError struct{ Err error }

func (e *ClientCertificateError) Error() string {
	return fmt.Sprintf("the client certificate cannot be used (%v); give a certificate and its key with --client-cert and --client-key", e.Err)
}

func (e *ClientCertificateError) Unwrap() error { return e.Err }

// StrangeAnswerError tells that something answers at a URL that is no midge and no Concourse server.
type StrangeAnswerError struct {
	URL    string
	Reason string // a clause: "it sent a page of HTML"
}

func (e *StrangeAnswerError) Error() string {
	return fmt.Sprintf("%s does not answer like a midge or Concourse server: %s; look at its URL with \"midge targets\"", e.URL, e.Reason)
}

// RedirectError tells that a server wants to be talked to at another URL.
type RedirectError struct {
	URL    string
	Target string
	To     string
}

func (e *RedirectError) Error() string {
	return fmt.Sprintf("%s sends its visitors on to %s; if you trust that, use: %s", e.URL, e.To, loginCommandAt(e.Target, e.To))
}

// UnauthorizedError tells that the server does not know who is asking.
type UnauthorizedError struct {
	URL    string
	Target string
	// Token is what the user calls the token that was not accepted; "" when none was sent.
	Token string
}

func (e *UnauthorizedError) Error() string {
	if e.Token == "" {
		return fmt.Sprintf("%s wants to know who you are; log in with: %s", e.URL, loginCommand(e.Target, e.URL))
	}
	return fmt.Sprintf("%s does not accept %s, it may have expired; log in again with: %s", e.URL, e.Token, loginCommand(e.Target, e.URL))
}

// loginCommand gives the command that logs in to a target, or to a URL that has no name yet.
func loginCommand(target, address string) string {
	if target != "" {
		return "midge -t " + target + " login"
	}
	return loginCommandAt("", address)
}

// loginCommandAt gives the command that logs in to a target at a URL, whether or not it is saved.
func loginCommandAt(target, address string) string {
	return "midge -t " + cmp.Or(target, "NAME") + " login -c " + address
}

// ForbiddenError tells that the user is known, and may not.
type ForbiddenError struct {
	URL     string
	Team    string
	Message string // the server's reason, "" for none
}

func (e *ForbiddenError) Error() string {
	why := ""
	if e.Message != "" {
		why = " (" + e.Message + ")"
	}
	return fmt.Sprintf("you are not allowed to do this at %s as a member of team %q%s; see \"midge userinfo\" for your teams and roles", e.URL, e.Team, why)
}

// LoginError tells that a user name and password were not accepted.
type LoginError struct {
	URL     string
	Message string
}

func (e *LoginError) Error() string {
	return fmt.Sprintf("%s does not accept this user name and password (%s); try again", e.URL, e.Message)
}

// NotFoundError tells that what a request was about is not there, or not for this team.
type NotFoundError struct {
	What    string // "build 12"
	URL     string
	Message string // the server's own sentence, "" for none
}

func (e *NotFoundError) Error() string {
	if e.Message != "" {
		return e.Message
	}
	return fmt.Sprintf("there is no %s at %s, or it belongs to another team", e.What, e.URL)
}

// ServerError tells that a server refused a request, or failed at it.
type ServerError struct {
	URL     string
	Status  int    // the HTTP status
	Message string // the server's own sentence, "" for none
	// RetryAfter is how long the server wants to be left alone; 0 when it did not say.
	RetryAfter time.Duration
}

func (e *ServerError) Error() string {
	status := fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status))
	switch {
	case e.Message == "" && e.Status >= 500:
		return fmt.Sprintf("%s failed at the request (%s); try again, and look at the server's log if it stays so", e.URL, status)
	case e.Message == "":
		return fmt.Sprintf("%s refused the request (%s)", e.URL, status)
	case e.Status >= 500:
		return fmt.Sprintf("%s failed at the request (%s): %s", e.URL, status, e.Message)
	}
	return e.Message
}

// passing reports whether the failure may be gone at the next attempt.
func (e *ServerError) passing() bool {
	switch e.Status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// turnedAway reports whether the server did not begin with the request and asked to
// come back later, which makes any request safe to send again.
func (e *ServerError) turnedAway() bool {
	return e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable && e.RetryAfter > 0
}
