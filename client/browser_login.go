package client

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// BrowserLogin waits until a browser of this machine brings the token that the user has
// been given on the server's page.
type BrowserLogin struct {
	// URL is the page to open.
	URL string

	client   *Client
	listener net.Listener
	server   *http.Server
	received chan Token
}

// StartBrowserLogin begins to wait for a browser, on a port of the loopback interface.
// Close ends it.
func (c *Client) StartBrowserLogin() (*BrowserLogin, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("wait for the browser: %w", err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	login := &BrowserLogin{
		URL:      c.URL() + "/login?fly_port=" + port,
		client:   c,
		listener: listener,
		received: make(chan Token, 1),
	}
	login.server = &http.Server{Handler: http.HandlerFunc(login.take), ReadTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10}
	go login.server.Serve(listener)
	return login, nil
}

// Received gives the token once it is there. What brought it need not be the server's
// page: whether the token is any good shows in its use.
func (b *BrowserLogin) Received() <-chan Token { return b.received }

// closeTimeout is how long a browser has to take the answer to the token it brought.
const closeTimeout = time.Second

// Close ends the waiting.
func (b *BrowserLogin) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if b.server.Shutdown(ctx) != nil {
		b.server.Close()
	}
	b.listener.Close() // which Serve may not have come to know
}

// take takes the token from a browser. A page may send the browser here, or ask by a
// script, for which a browser wants to hear that the page may.
func (b *BrowserLogin) take(w http.ResponseWriter, r *http.Request) {
	// A page elsewhere whose name leads to this machine has no business here.
	if host, _, _ := net.SplitHostPort(r.Host); host != "127.0.0.1" && host != "localhost" {
		http.Error(w, "this is for the browser that logs in", http.StatusForbidden)
		return
	}
	w.Header().Set("Access-Control-Allow-Origin", b.client.base.Scheme+"://"+b.client.base.Host)
	if r.Method == http.MethodOptions {
		w.Header().Set("Access-Control-Allow-Private-Network", "true")
		return
	}
	token, err := ParseToken(r.FormValue("token"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if r.Header.Get("Upgrade-Insecure-Requests") != "" { // It is a person's page, not a script.
		http.Redirect(w, r, b.client.URL()+"/fly_success?noop=true", http.StatusFound)
	}
	select {
	case b.received <- token:
	default: // One is there already.
	}
}

// errNoToken tells that a text is no token.
var errNoToken = errors.New("that is no token; one is written as on the page, like: bearer 0123abcd")

// ParseToken reads a token as the server's pages show it, with or without its type. When
// it expires is known of the tokens that tell that themselves.
func ParseToken(text string) (Token, error) {
	fields := strings.Fields(text)
	if len(fields) > 0 && strings.EqualFold(fields[0], "bearer") {
		fields = fields[1:]
	}
	if len(fields) != 1 || strings.ContainsFunc(fields[0], func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return Token{}, errNoToken
	}
	return Token{Value: fields[0], Expires: tokenExpiry(fields[0])}, nil
}

// tokenExpiry reads when a token expires out of the token: servers of both kinds put the
// Unix time behind its 20 random bytes. It is zero for one of another form.
func tokenExpiry(token string) time.Time {
	b, err := base64.RawStdEncoding.DecodeString(token)
	if err != nil || len(b) != 28 {
		return time.Time{}
	}
	expires := time.Unix(int64(binary.LittleEndian.Uint64(b[20:])), 0)
	if year := expires.Year(); year < 2000 || year > 2200 {
		return time.Time{}
	}
	return expires
}
