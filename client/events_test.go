package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"midge/api"
)

// eventStream gives the frames of events first to last-1 of a build's log, and its end.
func eventStream(first, last int) []byte {
	var b bytes.Buffer
	for id := first; id < last; id++ {
		fmt.Fprintf(&b, "id: %d\nevent: event\ndata: {\"data\":{\"payload\":\"line %d\\n\"},\"event\":\"log\",\"version\":\"5.1\",\"event_id\":\"%d\"}\n\n", id, id, id)
	}
	fmt.Fprintf(&b, "id: %d\nevent: end\ndata\n\n", last)
	return b.Bytes()
}

// cutStream serves a log of 5 events, and cuts each connection after as many bytes as
// cuts says; connections beyond those are served to the end.
type cutStream struct {
	cuts        []int
	connections int
}

func (s *cutStream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	first := 0
	if last, err := strconv.Atoi(r.Header.Get("Last-Event-ID")); err == nil {
		first = last + 1
	}
	stream := eventStream(first, 5)
	cut := len(stream)
	if s.connections < len(s.cuts) {
		cut = min(cut, s.cuts[s.connections])
	}
	s.connections++
	w.Header().Set("Content-Type", "text/event-stream")
	w.Write(stream[:cut])
	w.(http.Flusher).Flush()
	if cut < len(stream) {
		panic(http.ErrAbortHandler)
	}
}

func testClient(t *testing.T, url string, change func(*Options)) *Client {
	t.Helper()
	options := Options{URL: url, Token: "the-token", Patience: time.Minute}
	if change != nil {
		change(&options)
	}
	c, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// quietServer is a server whose log does not tell of the connections that tests cut.
func quietServer(handler http.Handler) *httptest.Server {
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	return server
}

func eventIDs(ctx context.Context, c *Client, after string) (ids []string, err error) {
	for event, err := range c.Events(ctx, 1, after) {
		if err != nil {
			return ids, err
		}
		ids = append(ids, event.ID)
	}
	return ids, nil
}

func TestEventsOverBrokenConnections(t *testing.T) {
	stream := &cutStream{}
	server := quietServer(stream)
	defer server.Close()
	want := []string{"0", "1", "2", "3", "4"}
	for cut := range len(eventStream(0, 5)) {
		stream.connections, stream.cuts = 0, []int{cut}
		ids, err := eventIDs(t.Context(), testClient(t, server.URL, nil), "")
		if err != nil || !slices.Equal(ids, want) {
			t.Fatalf("cut after %d bytes: %q, %v", cut, ids, err)
		}
		if stream.connections != 2 {
			t.Fatalf("cut after %d bytes: %d connections", cut, stream.connections)
		}
	}
	stream.connections, stream.cuts = 0, []int{0, 150, 0, 0, 150, 150, 10}
	ids, err := eventIDs(t.Context(), testClient(t, server.URL, nil), "")
	if err != nil || !slices.Equal(ids, want) {
		t.Errorf("cut many times: %q, %v", ids, err)
	}
}

func TestEventsAfter(t *testing.T) {
	server := quietServer(&cutStream{})
	defer server.Close()
	ids, err := eventIDs(t.Context(), testClient(t, server.URL, nil), "2")
	if err != nil || !slices.Equal(ids, []string{"3", "4"}) {
		t.Errorf("after 2: %q, %v", ids, err)
	}
}

// A server that begins anew whatever it is asked for must not make lines come twice.
func TestEventsAreNotRepeated(t *testing.T) {
	connections := 0
	server := quietServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connections++
		stream := eventStream(0, 5)
		if connections == 1 {
			w.Write(stream[:len(stream)/2])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		w.Write(stream)
	}))
	defer server.Close()
	ids, err := eventIDs(t.Context(), testClient(t, server.URL, nil), "")
	if err != nil || !slices.Equal(ids, []string{"0", "1", "2", "3", "4"}) {
		t.Errorf("%q, %v", ids, err)
	}
}

// TestEventsOverRestart stops a server in the middle of a log, and starts it again
// when the client has said that it noticed.
func TestEventsOverRestart(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	stream := &cutStream{cuts: []int{150}}
	start := func() *http.Server {
		listener, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{}
		server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if len(stream.cuts) > stream.connections {
				// The listener goes first, so that the client finds nobody when it comes back.
				listener.Close()
			}
			stream.ServeHTTP(w, r)
		})
		go server.Serve(listener)
		t.Cleanup(func() { server.Close() })
		return server
	}
	start()
	var notices []Notice
	c := testClient(t, "unix://"+socket, func(o *Options) {
		o.Notify = func(n Notice) {
			notices = append(notices, n)
			if n.Lost != nil {
				start()
			}
		}
	})
	ids, err := eventIDs(t.Context(), c, "")
	if err != nil || !slices.Equal(ids, []string{"0", "1", "2", "3", "4"}) {
		t.Errorf("%q, %v", ids, err)
	}
	if len(notices) != 2 || notices[0].Lost == nil || notices[1].Lost != nil || notices[1].For <= 0 {
		t.Errorf("notices are %+v", notices)
	}
}

func TestEventsGiveUp(t *testing.T) {
	server := quietServer(&cutStream{cuts: []int{150}})
	c := testClient(t, server.URL, func(o *Options) { o.Patience = time.Nanosecond })
	var got []string
	for event, err := range c.Events(t.Context(), 1, "") {
		if err != nil {
			var unreachable *UnreachableError
			if !errors.As(err, &unreachable) {
				t.Errorf("error is %v", err)
			}
			break
		}
		got = append(got, event.ID)
		server.Listener.Close()
	}
	server.Close()
	if !slices.Equal(got, []string{"0"}) {
		t.Errorf("events before the end are %q", got)
	}
}

func TestEventsStop(t *testing.T) {
	var open sync.WaitGroup
	server := quietServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		open.Add(1)
		defer open.Done()
		w.Write([]byte(strings.TrimSuffix(string(eventStream(0, 3)), "id: 3\nevent: end\ndata\n\n")))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	defer server.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	cause := errors.New("enough")
	var ids []string
	var last error
	for event, err := range testClient(t, server.URL, nil).Events(ctx, 1, "") {
		if err != nil {
			last = err
			continue
		}
		if ids = append(ids, event.ID); len(ids) == 3 {
			cancel(cause)
		}
	}
	if !errors.Is(last, cause) || len(ids) != 3 {
		t.Errorf("%q, %v", ids, last)
	}
	for range testClient(t, server.URL, nil).Events(t.Context(), 1, "0") {
		break
	}
	open.Wait() // neither leaves a connection behind
}

func TestHostileEventStreams(t *testing.T) {
	tests := map[string]string{
		"no number": "event: event\ndata: {}\n\n",
		"no JSON":   "id: 1\nevent: event\ndata: nonsense\n\n",
		"no end":    "id: 1\nevent: event\ndata: " + strings.Repeat("x", maxFrameBytes+1),
		"no field":  strings.Repeat("x", maxFrameBytes+1),
		"many data": "id: 1\n" + strings.Repeat("data: xxxxxxxxxxxxxxxx\n", maxFrameBytes/16),
	}
	for name, stream := range tests {
		t.Run(name, func(t *testing.T) {
			server := quietServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Write([]byte(stream))
			}))
			defer server.Close()
			_, err := eventIDs(t.Context(), testClient(t, server.URL, nil), "")
			var strange *StrangeAnswerError
			if !errors.As(err, &strange) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestMidgeEventsAreAskedFor(t *testing.T) {
	var asked string
	server := quietServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Header.Get(api.EventsHeader)
		w.Write(eventStream(0, 1))
	}))
	defer server.Close()
	if _, err := eventIDs(t.Context(), testClient(t, server.URL, nil), ""); err != nil || asked == "" {
		t.Errorf("asked with %q, %v", asked, err)
	}
}

func TestFrameReader(t *testing.T) {
	tests := []struct {
		name, stream string
		want         []string // id|event|data
	}{
		{"one", "id: 1\nevent: e\ndata: d\n\n", []string{"1|e|d"}},
		{"no space after colon", "id:1\nevent:e\ndata:d\n\n", []string{"1|e|d"}},
		{"carriage returns", "id: 1\r\ndata: d\r\n\r\n", []string{"1||d"}},
		{"two lines of data", "data: a\ndata: b\n\n", []string{"||a\nb"}},
		{"field without colon", "event: end\ndata\n\n", []string{"|end|"}},
		{"comments", ": hello\n\n: again\n\ndata: d\n\n", []string{"||d"}},
		{"unknown fields", "retry: 3\nwhat: ever\ndata: d\n\n", []string{"||d"}},
		{"unfinished", "data: a\n\ndata: b\n", []string{"||a"}},
		{"longer than the buffer", "data: " + strings.Repeat("x", 200_000) + "\n\n", []string{"||" + strings.Repeat("x", 200_000)}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			reader := newFrameReader(strings.NewReader(test.stream))
			var got []string
			for {
				frame, err := reader.next()
				if err != nil {
					break
				}
				got = append(got, fmt.Sprintf("%s|%s|%s", frame.id, frame.event, frame.data))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("frames are %q, want %q", got, test.want)
			}
		})
	}
}

func FuzzFrameReader(f *testing.F) {
	f.Add([]byte("id: 1\nevent: event\ndata: {}\n\nid: 2\nevent: end\ndata\n\n"))
	f.Add([]byte(": ping\r\n\r\ndata: a\ndata: b\n\n"))
	f.Add(bytes.Repeat([]byte("x"), 70_000))
	f.Fuzz(func(t *testing.T, stream []byte) {
		reader := newFrameReader(bytes.NewReader(stream))
		total := 0
		for {
			frame, err := reader.next()
			if err != nil {
				break
			}
			if len(frame.data) == 0 && len(frame.event) == 0 {
				t.Fatal("an empty frame")
			}
			total += len(frame.id) + len(frame.event) + len(frame.data)
		}
		if total > len(stream) {
			t.Fatalf("%d bytes came out of %d", total, len(stream))
		}
	})
}
