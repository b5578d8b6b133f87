package kubernetes

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"midge/agent/pod"
)

// An API server that cuts the request for a log before it answers is asked again: that
// is not the log's end.
func TestLogOfAnAPIServerThatCuts(t *testing.T) {
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests++; requests == 1 {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprint(w, "0 1 1 \"said\"\nexit {\"code\":0}\n")
	}))
	defer server.Close()
	client, err := typedv1.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	worker := &Worker{options: Options{Namespace: "builds"}, client: client}
	l := &podLog{ctx: t.Context(), container: &container{worker: worker, pod: "p", client: pod.NewClient(nil)}, why: &PodError{Pod: "p", Message: "it has ended"}}
	defer l.Close()
	record, err := l.Next()
	if err != nil || string(record.Data) != "said" {
		t.Fatalf("it gave %q, %v", record.Data, err)
	}
	if _, err := l.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("its end is %v", err)
	}
}
