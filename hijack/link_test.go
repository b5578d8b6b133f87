package hijack

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

// Who leaves a session whose server takes all that it is sent, and answers nothing, is not
// kept for longer than leaveTimeout.
func TestLeavingASilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		go func() {
			defer far.Close()
			request, err := http.ReadRequest(bufio.NewReader(far))
			if err != nil {
				t.Error(err)
				return
			}
			key := sha1.Sum([]byte(request.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
			fmt.Fprintf(far, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n",
				base64.StdEncoding.EncodeToString(key[:]))
			io.Copy(io.Discard, far)
		}()
		dial := func(context.Context, string, string) (net.Conn, error) { return near, nil }
		socket, _, err := websocket.Dial(t.Context(), "ws://midge/", &websocket.DialOptions{
			HTTPClient: &http.Client{Transport: &http.Transport{DialContext: dial}},
		})
		if err != nil {
			t.Fatal(err)
		}
		user := newUser(Options{Quiet: true})
		user.options.Terminal = &Terminal{}
		l := newLink(newClient(user), newConnection(socket))
		ctx, detach := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { detach(errDetached) })
		began := time.Now()
		if err := l.carry(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("it ends with %v", err)
		}
		if took := time.Since(began) - time.Second; took > leaveTimeout {
			t.Errorf("leaving took %v, want %v at most", took, leaveTimeout)
		}
	})
}
