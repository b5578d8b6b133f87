package command

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestMeterCountsRequestsAndBytes(t *testing.T) {
	const asked, answered = 10_000, 50_000
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, strings.Repeat("x", answered))
	}))
	defer server.Close()

	meter := StartMeter()
	transport := &http.Transport{DialContext: meter.DialContext(new(net.Dialer).DialContext)}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: meter.Transport(transport)}
	const requests = 3
	for range requests {
		response, err := client.Post(server.URL, "text/plain", strings.NewReader(strings.Repeat("y", asked)))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	}
	got := meter.Usage()
	const headers = 1000 // a request's, more than there are
	if got.Requests != requests {
		t.Errorf("%d requests, want %d", got.Requests, requests)
	}
	if got.SentBytes < requests*asked || got.SentBytes > requests*(asked+headers) {
		t.Errorf("%d bytes sent, want those of %d requests of %d bytes", got.SentBytes, requests, asked)
	}
	if got.ReceivedBytes < requests*answered || got.ReceivedBytes > requests*(answered+headers) {
		t.Errorf("%d bytes received, want those of %d answers of %d bytes", got.ReceivedBytes, requests, answered)
	}
	if got.UserNanos == nil || got.SystemNanos == nil || *got.UserNanos+*got.SystemNanos == 0 {
		t.Error("there is no cpu time")
	}
	if got.PeakBytes == nil || *got.PeakBytes < 1<<20 {
		t.Error("the peak of memory is less than a Go program has")
	}
	if got.WallNanos <= 0 {
		t.Error("no time has passed")
	}
}

func TestMeterGivesTheDialersError(t *testing.T) {
	meter := StartMeter()
	dial := meter.DialContext(new(net.Dialer).DialContext)
	if conn, err := dial(t.Context(), "unix", t.TempDir()+"/nobody"); err == nil {
		conn.Close()
		t.Fatal("a connection to nobody was made")
	}
}
