package kubernetes

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
)

// Who gives up a stream leaves nothing behind, whatever hangs and in whatever protocol.
func TestExecOfAnAPIServerThatHangs(t *testing.T) {
	for name, websockets := range map[string]bool{"websocket": true, "SPDY": false} {
		t.Run(name, func(t *testing.T) {
			asked, left := make(chan struct{}, 1), make(chan struct{}, 1)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet && !websockets {
					http.Error(w, "no websockets here", http.StatusBadRequest)
					return
				}
				note(asked)
				// Who has gone is noticed once all of a request is read.
				io.Copy(io.Discard, r.Body)
				<-r.Context().Done()
				note(left)
			}))
			defer server.Close()
			config := &rest.Config{Host: server.URL}
			client, err := typedv1.NewForConfig(config)
			if err != nil {
				t.Fatal(err)
			}
			w := &Worker{config: config, client: client, options: Options{Namespace: "midge"}}
			// The time is to be up when the server has been asked, and not before.
			for within := time.Second; len(asked) == 0; within *= 2 {
				ctx, cancel := context.WithTimeout(t.Context(), within)
				if _, err := w.exec(ctx, "pod", taskContainer, []string{"true"}); err == nil {
					t.Error("it gave no error")
				}
				cancel()
			}
			select {
			case <-left:
			case <-time.After(time.Minute):
				server.CloseClientConnections()
				t.Error("the connection is left open")
			}
		})
	}
}

// note fills a channel that has room for one.
func note(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
