package server_test

import (
	"context"
	"net"
	"net/http"
	"testing"

	"midge/api"
	"midge/server/servertest"
)

// bySocket gives a client that speaks to the unix socket, without a token.
func bySocket(s *servertest.Server) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", s.Socket)
		},
	}}
}

func TestSocketNeedsNoLogin(t *testing.T) {
	s := startServer(t, servertest.Options{})
	response, err := bySocket(s).Get("http://midge/api/v1/user")
	if err != nil {
		t.Fatal(err)
	}
	var who api.User
	decode(t, readAll(t, response), &who)
	if !who.IsAdmin || who.Name != "local" || who.Teams["main"][0] != "owner" {
		t.Errorf("got %+v, want an administrator named local", who)
	}
	response, err = bySocket(s).Get("http://midge/api/v1/info")
	if err != nil {
		t.Fatal(err)
	}
	var info api.Info
	decode(t, readAll(t, response), &info)
	if info.ExternalURL != s.URL {
		t.Errorf("the external URL is %q, want that of the TCP listener, %q", info.ExternalURL, s.URL)
	}
}
