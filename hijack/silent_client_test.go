package hijack

import (
	"testing"
	"time"

	"midge/api"
)

// A client that says nothing is not waited for, and its session goes on without it.
func TestSilentClients(t *testing.T) {
	flood := api.HijackProcess{Path: "sh", Args: []string{"-c", "while read line; do :; done & exec yes"}}
	tests := []struct {
		name    string
		process api.HijackProcess
	}{
		{"that never writes", cat},
		{"that never reads nor writes", flood},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := newServer(t, Config{PingInterval: 50 * time.Millisecond})
			conn := server.dialFrames()
			send(t, conn, encodeMessage(frameStart, startRequest{Process: test.process, Client: "c", Window: maxWindow}))
			began := next(t, server.observer.began, "the session")
			for used := (api.HijackSession{Clients: 1}); used.Clients > 0 || used.ID == ""; {
				used = next(t, server.observer.used, "the client's end")
			}
			if info := server.only().Info(); info.ID != began.ID || info.EndTime != 0 {
				t.Errorf("the session is %+v", info)
			}

			// It comes back, and goes on.
			run := begin(t, Options{Endpoint: server.endpoint(), Session: began.ID, Stdin: nothing(t)})
			next(t, run.session, "the session")
			server.only().End("enough")
			if result := run.wait(); result.err == nil || result.err.Error() != "enough" {
				t.Errorf("Run gave %+v", result)
			}
		})
	}
}

// A client that does not say what it comes for is sent away.
func TestClientWithoutARequest(t *testing.T) {
	for _, protocols := range [][]string{{Subprotocol}, nil} {
		server := newServer(t, Config{HandshakeTimeout: 50 * time.Millisecond})
		socket := server.dialRaw(protocols...)
		// It is the server that ends it, and not the test's patience.
		ctx := testContext(t)
		if _, message, err := socket.Read(ctx); err == nil || ctx.Err() != nil {
			t.Errorf("it was told %q (%v)", message, err)
		}
		if list := server.current().List(); len(list) > 0 {
			t.Errorf("there are sessions %+v", list)
		}
	}
}
