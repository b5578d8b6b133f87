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
			asked, left := make(chan struct{}), make(chan struct{})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet && !websockets {
					http.Error(w, "no websockets here", http.StatusBadRequest)
					return
				}
				close(asked)
				// Who has gone is noticed once all of a request is read.
				io.Copy(io.Discard, r.Body)
				<-r.Context().Done()
				close(left)
			}))
			defer server.Close()
			config := &rest.Config{Host: server.URL}
			client, err := typedv1.NewForConfig(config)
			if err != nil {
				t.Fatal(err)
			}
			w := &Worker{config: config, client: client, options: Options{Namespace: "midge"}}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := w.exec(ctx, "pod", taskContainer, []string{"true"}); err == nil {
				t.Error("it gave no error")
			}
			<-asked
			select {
			case <-left:
			case <-time.After(time.Minute):
				server.CloseClientConnections()
				t.Error("the connection is left open")
			}
		})
	}
}
