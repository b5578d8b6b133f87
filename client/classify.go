package client

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"midge/terminal"
)

// errSilent is the cause of a context that ended because a server took too long.
var errSilent = errors.New("it did not answer within " + answerTimeout.String())

// transportError turns what net/http says of a failed exchange into one of the
// package's errors. A context that is done gives its cause.
func (c *Client) transportError(ctx context.Context, err error, sending bool) error {
	if ctx.Err() != nil {
		cause := context.Cause(ctx)
		if cause != errSilent {
			return cause
		}
		return &UnreachableError{URL: c.URL(), Reason: errSilent.Error(), Err: errSilent}
	}
	if wrapper := (*url.Error)(nil); errors.As(err, &wrapper) {
		err = wrapper.Err
	}
	if reason := certificateReason(err); reason != "" {
		return &CertificateError{URL: c.URL(), Target: c.options.Target, Reason: reason, Err: err}
	}
	if refusal := c.clientCertificateRefusal(err); refusal != "" {
		return &ClientCertificateError{Err: errors.New(refusal)}
	}
	var record tls.RecordHeaderError
	switch text := err.Error(); {
	case errors.As(err, &record), strings.Contains(text, "HTTP response to HTTPS client"):
		return c.strange("it speaks HTTP and not HTTPS")
	case strings.Contains(text, "malformed HTTP"),
		strings.Contains(text, "readLoopPeekFail") && !wasCut(err): // it spoke before it was asked
		return c.strange("it does not speak HTTP")
	case strings.Contains(text, "response headers exceeded"):
		return c.strange(fmt.Sprintf("its headers are longer than %d KiB", maxHeaderBytes>>10))
	}
	if c.socket != "" && errors.Is(err, fs.ErrPermission) {
		return &SocketError{URL: c.URL(), Err: err}
	}
	var operation *net.OpError
	dialed := errors.As(err, &operation) && operation.Op == "dial"
	if !dialed && wasCut(err) {
		c.met.CompareAndSwap(0, time.Now().UnixNano())
	}
	return &UnreachableError{URL: c.URL(), Reason: networkReason(err) + c.proxied(), Err: err, unsent: sending && dialed}
}

// clientCertificateRefusal says what a server has against the certificate that the
// client shows, or "" when that is not what err is about.
func (c *Client) clientCertificateRefusal(err error) string {
	var operation *net.OpError
	if !errors.As(err, &operation) || operation.Op != "remote error" {
		return ""
	}
	switch text := err.Error(); {
	case strings.Contains(text, "certificate required"):
		return c.URL() + " wants to see one"
	case strings.Contains(text, "certificate"): // expired, revoked, of an unknown authority
		return c.URL() + " does not accept it"
	}
	return ""
}

// networkReason says what went wrong between two machines, in a few words.
func networkReason(err error) string {
	var lookup *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &lookup):
		return fmt.Sprintf("the host name %s is not known", lookup.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such socket"
	case wasCut(err):
		return "the connection was cut"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "it did not answer in time"
	}
	return terminal.Line(err.Error())
}

// wasCut reports whether err tells of a connection that ended in the midst of something.
func wasCut(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// certificateReason says why a server is not trusted, or "" when that is not what err is about.
func certificateReason(err error) string {
	var (
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &authority):
		return "it is signed by an authority that this machine does not know"
	case errors.As(err, &hostname):
		return "it is for another host name"
	case errors.As(err, &invalid):
		return terminal.Line(invalid.Error())
	}
	return ""
}

// statusError turns an answer whose status is no good into one of the package's errors.
func (c *Client) statusError(r request, response *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxMessageBytes))
	message := ServerMessage(response, body)
	switch status := response.StatusCode; {
	case status == http.StatusBadRequest && c.base.Scheme == "http" && wantsTLS(body):
		return c.strange("it speaks TLS: give its URL with https://")
	case status >= 300 && status < 400:
		return &RedirectError{URL: c.URL(), Target: c.options.Target, To: redirectTarget(response)}
	case status == http.StatusUnauthorized:
		token := ""
		if c.options.Token != "" {
			token = cmp.Or(c.options.TokenName, "your token")
		}
		return &UnauthorizedError{URL: c.URL(), Target: c.options.Target, Token: token}
	case status == http.StatusForbidden:
		return &ForbiddenError{URL: c.URL(), Team: c.options.Team, Message: message}
	case status == http.StatusNotFound && r.about != "":
		if message == r.about+" not found" {
			message = "" // which NotFoundError says at greater length
		}
		return &NotFoundError{What: r.about, URL: c.URL(), Message: message}
	default:
		return &ServerError{URL: c.URL(), Status: status, Message: message, RetryAfter: RetryAfter(response.Header)}
	}
}

// maxMessageShown bounds what an error repeats of a server's words, in bytes.
const maxMessageShown = 2000

// ServerMessage gives the sentence in an error's body, or "" when it holds none: a
// string in JSON's error, errors or stderr, or a short plain text.
func ServerMessage(response *http.Response, body []byte) string {
	var answer struct {
		Error  string   `json:"error"`
		Errors []string `json:"errors"`
		Stderr string   `json:"stderr"`
	}
	text := ""
	if json.Unmarshal(body, &answer) == nil {
		text = cmp.Or(answer.Error, strings.Join(answer.Errors, "; "), answer.Stderr)
	} else if strings.HasPrefix(response.Header.Get("Content-Type"), "text/plain") {
		text = string(body)
	}
	text = terminal.Line(strings.TrimSpace(text))
	if len(text) > maxMessageShown {
		text = strings.ToValidUTF8(text[:maxMessageShown], "") + "..."
	}
	return text
}

// wantsTLS reports whether an answer is that of a server of TLS to a client that speaks
// none, in the words of Go's and of nginx's.
func wantsTLS(body []byte) bool {
	return bytes.Contains(body, []byte("HTTP request to an HTTPS server")) ||
		bytes.Contains(body, []byte("plain HTTP request was sent to HTTPS port"))
}

// redirectTarget gives the server that a redirect leads to.
func redirectTarget(response *http.Response) string {
	location, err := response.Location()
	if err != nil {
		return "nowhere"
	}
	return terminal.Line(location.Scheme + "://" + location.Host)
}

// RetryAfter reads the header of that name, which is for how long a server wants to be left
// alone; 0 when it is absent or a date.
func RetryAfter(header http.Header) time.Duration {
	seconds, err := strconv.Atoi(header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, 3600)) * time.Second
}

func (c *Client) strange(reason string) error {
	return &StrangeAnswerError{URL: c.URL(), Reason: reason + c.proxied()}
}

// proxied names the proxy that stands between, if one does: it may be what has answered.
func (c *Client) proxied() string {
	if c.socket != "" {
		return ""
	}
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: c.base})
	if err != nil || proxy == nil {
		return ""
	}
	return ", by the proxy " + proxy.Host
}

// describeBody says what is wrong with a body that should have been JSON.
func describeBody(response *http.Response, body []byte) string {
	trimmed := bytes.TrimSpace(body)
	switch {
	case len(trimmed) == 0:
		return "its answer is empty"
	case trimmed[0] == '<', strings.HasPrefix(response.Header.Get("Content-Type"), "text/html"):
		return "it sent a page of HTML"
	case trimmed[0] == '{', trimmed[0] == '[':
		return "its answer is no whole JSON document"
	}
	return "its answer is no JSON"
}
