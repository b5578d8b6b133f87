// Package client talks to a midge server, or to a Concourse web node: one typed
// method an endpoint, over TCP or a unix socket.
//
// It copes with a network that fails. A client that has heard from its server once
// waits for it to come back, and takes up the event stream where it stopped; one
// that never has fails at once, or soon, when a connection was made and cut: then there
// is a server, or was one. What it cannot cope with it returns as one of the
// errors of errors.go, whose texts are whole sentences for the person at the terminal.
//
// It takes nothing from a server on trust: headers, bodies and waiting are bounded,
// and what a server says in an error is cleaned of control characters.
//
// The package also keeps the targets file. It prints nothing and reads no environment.
package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// DefaultPatience is how long a server is waited for that has answered before.
const DefaultPatience = 10 * time.Minute

// DefaultTeam is the team of a client that names none.
const DefaultTeam = "main"

// Options says which server to talk to, and as whom.
type Options struct {
	// URL is http://HOST, https://HOST or unix:///PATH of a socket.
	URL string
	// Team is whose containers, volumes, artifacts and new builds are meant; "" is DefaultTeam.
	Team string
	// Token is sent with every request; "" sends none, as a unix socket allows.
	Token string
	// TokenName is what the user calls the token, for error messages; "" is "your token".
	TokenName string
	// Target is what the user calls this server, for the commands in error messages; may be "".
	Target string
	// TLS is how an https server is trusted; the zero value trusts whom the system trusts.
	TLS TLS

	// Patience is how long a server that has answered before may be away; 0 is DefaultPatience.
	Patience time.Duration
	// Notify is told when the server goes away and when it is back, once however many calls
	// wait for it. It may be nil. It is called from the goroutine of a call that waits.
	Notify func(Notice)
	// Wrap, if not nil, gives the transport that every request goes through.
	Wrap func(http.RoundTripper) http.RoundTripper
}

// Notice tells of an outage that the client copes with by itself.
type Notice struct {
	// Lost is why the server cannot be reached; nil when it is back.
	Lost error
	// For is how long it has been away, when it is back.
	For time.Duration
}

// Client talks to one server as one user, for one team. Its methods may be called
// from many goroutines at once.
type Client struct {
	options Options
	base    *url.URL // where requests go
	socket  string   // the unix socket, "" for TCP
	http    *http.Client

	// Of the server, and so shared by all teams' clients.
	heard   *atomic.Bool  // it has answered once
	met     *atomic.Int64 // when it first cut a connection, in Unix nanoseconds; 0 for never
	absence *absence
}

// New gives a client of the server that options name. It sends nothing yet.
func New(options Options) (*Client, error) {
	if options.Team == "" {
		options.Team = DefaultTeam
	}
	if options.Notify == nil {
		options.Notify = func(Notice) {}
	}
	if options.Patience == 0 {
		options.Patience = DefaultPatience
	}
	base, socket, err := parseURL(options.URL)
	if err != nil {
		return nil, err
	}
	transport, err := newTransport(socket, options.TLS)
	if err != nil {
		return nil, err
	}
	var tripper http.RoundTripper = transport
	if options.Wrap != nil {
		tripper = options.Wrap(transport)
	}
	return &Client{
		options: options,
		base:    base,
		socket:  socket,
		heard:   new(atomic.Bool),
		met:     new(atomic.Int64),
		absence: new(absence),
		http: &http.Client{
			Transport: tripper,
			// A redirect would carry the token to wherever the server says.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// parseURL gives the base of a server's requests, and its socket if it has one.
func parseURL(text string) (base *url.URL, socket string, err error) {
	parsed, err := url.Parse(text)
	if err != nil {
		return nil, "", &URLError{URL: text}
	}
	switch parsed.Scheme {
	case "unix":
		if parsed.Host != "" || parsed.Path == "" {
			return nil, "", &URLError{URL: text}
		}
		return &url.URL{Scheme: "http", Host: "midge"}, parsed.Path, nil
	case "http", "https":
		if parsed.Host == "" || parsed.User != nil { // who it is has a token, and a saved URL no password
			return nil, "", &URLError{URL: text}
		}
		return &url.URL{Scheme: parsed.Scheme, Host: parsed.Host, Path: strings.TrimRight(parsed.Path, "/")}, "", nil
	}
	return nil, "", &URLError{URL: text}
}

// URL gives the server's URL as it was given.
func (c *Client) URL() string { return strings.TrimRight(c.options.URL, "/") }

// Team gives the name of the client's team.
func (c *Client) Team() string { return c.options.Team }

// WithTeam gives a client of the same server for another team. It shares the connections of c.
func (c *Client) WithTeam(team string) *Client {
	other := *c
	other.options.Team = team
	return &other
}

// Close ends the client's idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Do sends a request to path, which begins with a slash and may have a query, with the
// client's token, and gives the answer whatever its status. The caller closes its body.
func (c *Client) Do(ctx context.Context, method, path string, header http.Header, body []byte) (*http.Response, error) {
	reference, err := url.Parse(path)
	if err != nil || !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("%q is no path on a server; one begins with a slash, like /api/v1/info", path)
	}
	request := request{method: method, path: reference.EscapedPath(), query: reference.Query(), header: header, body: body}
	return c.attempt(ctx, request)
}

// teamPath gives a path below the client's team.
func (c *Client) teamPath(segments ...any) string {
	return apiPath(append([]any{"teams", c.options.Team}, segments...)...)
}

// apiPath joins segments to a path below /api/v1, each escaped.
func apiPath(segments ...any) string {
	var path strings.Builder
	path.WriteString("/api/v1")
	for _, segment := range segments {
		path.WriteByte('/')
		path.WriteString(url.PathEscape(fmt.Sprint(segment)))
	}
	return path.String()
}
