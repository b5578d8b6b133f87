package pod

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"midge/agent"
	"midge/agent/spool"
	"midge/api"
)

func TestClock(t *testing.T) {
	epoch := time.Unix(1_000_000_000, 0)
	type answer struct{ asked, came, says time.Duration } // since epoch
	const hour = time.Hour
	for name, test := range map[string]struct {
		answers []answer
		want    time.Duration
	}{
		"nothing is known":      {nil, 0},
		"both agree":            {[]answer{{0, 10, 4}}, 0},
		"both may agree":        {[]answer{{0, 10, 10}}, 0},
		"behind":                {[]answer{{hour, hour + 10, 0}}, hour + 5},
		"ahead":                 {[]answer{{0, 10, hour}}, -hour + 5},
		"ahead by little":       {[]answer{{0, 10, 16}}, -11},
		"an answer that waited": {[]answer{{hour, hour + 10, 0}, {hour, 3 * hour, 0}}, hour + 5},
		"one more exact":        {[]answer{{hour, hour + 10, 0}, {hour + 4, hour + 6, 0}}, hour + 5},
		"set meanwhile":         {[]answer{{hour, hour + 10, 0}, {2 * hour, 2*hour + 10, 2*hour + 5}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var c clock
			for _, a := range test.answers {
				says := strconv.FormatInt(epoch.Add(a.says).UnixNano(), 10)
				c.note(epoch.Add(a.asked), epoch.Add(a.came), http.Header{clockHeader: {says}})
			}
			c.note(epoch, epoch.Add(1), http.Header{}) // of a midge-agent that does not say
			if got := c.ahead(); got != test.want {
				t.Errorf("this machine's clock is %s ahead, want %s", got, test.want)
			}
		})
	}
}

// What a node whose clock is wrong says of a process comes by this machine's clock.
func TestTimesOfANodeWhoseClockIsWrong(t *testing.T) {
	for _, wrong := range []time.Duration{-time.Hour, time.Hour} {
		t.Run(wrong.String(), func(t *testing.T) {
			before := time.Now()
			client := newNode(t, func() time.Time { return time.Now().Add(wrong) })
			exit, err := client.Wait(t.Context(), "task")
			if err != nil {
				t.Fatal(err)
			}
			used, err := client.Usage(t.Context(), "task")
			if err != nil {
				t.Fatal(err)
			}
			output, err := client.Output(t.Context(), "task", 0)
			if err != nil {
				t.Fatal(err)
			}
			defer output.Close()
			record, err := output.Next()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := output.Next(); !errors.Is(err, io.EOF) {
				t.Errorf("the output ended with %v", err)
			}
			took := time.Since(before)
			for what, got := range map[string]time.Time{
				"began": exit.Started, "ended": exit.Ended, "had used nothing": used.Baseline.Timestamp,
				"had used something": used.Samples[0].Timestamp, "wrote": record.Time,
			} {
				// No answer tells more exactly than within the time that it took.
				if off := got.Sub(before); off < -took || off > 2*took {
					t.Errorf("the process %s %s after the test began, which has taken %s", what, off, took)
				}
			}
		})
	}
}

// newNode gives the client of a pod on a node with a clock of its own, where a process
// begins, writes, uses something and ends whenever it is asked about.
func newNode(t *testing.T, now func() time.Time) *Client {
	t.Helper()
	mux := http.NewServeMux()
	answer := func(pattern string, of func(at time.Time) any) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { _ = json.NewEncoder(w).Encode(of(now())) })
	}
	answer("GET /processes/task/exit", func(at time.Time) any { return agent.Exit{Started: at, Ended: at} })
	answer("GET /processes/task/usage", func(at time.Time) any {
		return api.ResourceUsage{Baseline: &api.Sample{Timestamp: at}, Samples: []api.Sample{{Timestamp: at}}}
	})
	mux.HandleFunc("POST /processes/task/output", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(appendLast(appendRecord(nil, spool.Record{Stream: 1, Time: now(), Data: []byte("text")}), io.EOF))
	})
	socket := filepath.Join(t.TempDir(), "socket")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := newHTTPServer(withTime(mux, now))
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener)
	}()
	client := NewClient(func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "unix", socket) })
	t.Cleanup(func() {
		client.Close()
		server.Close()
		<-served
	})
	return client
}
