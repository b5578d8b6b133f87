package hijack

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"midge/api"
	"midge/runtime"
)

// dialRaw connects without being a client.
func (s *testServer) dialRaw(protocols ...string) *websocket.Conn {
	s.t.Helper()
	socket, _, err := websocket.Dial(testContext(s.t), s.http.URL, &websocket.DialOptions{Subprotocols: protocols})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { socket.CloseNow() })
	return socket
}

func (s *testServer) dialFrames() *connection {
	s.t.Helper()
	return newConnection(s.dialRaw(Subprotocol))
}

func send(t *testing.T, conn *connection, frames ...frame) {
	t.Helper()
	for _, f := range frames {
		if err := conn.send(f); err != nil {
			t.Fatal(err)
		}
	}
}

func receive(t *testing.T, conn *connection, want frameKind) frame {
	t.Helper()
	f, err := conn.receive()
	if err != nil {
		t.Fatal(err)
	}
	if f.kind != want {
		t.Fatalf("got %s %q, want %s", f.kind, f.data, want)
	}
	return f
}

func startFrame(client string, process api.HijackProcess) frame {
	return encodeMessage(frameStart, startRequest{Process: process, Client: client, Window: minWindow})
}

var cat = api.HijackProcess{Path: "cat"}

func TestMalformedFramesEndTheConnection(t *testing.T) {
	start := string(startFrame("c", cat).appendTo(nil))
	tests := []struct {
		name     string
		messages []string
		want     string
	}{
		{"nothing known", []string{"\xff"}, "malformed frame: its kind is 0xff"},
		{"empty", []string{""}, "malformed frame: it is empty"},
		{"out of turn", []string{"\x0b"}, "malformed frame: it is end, and the first must be start or attach"},
		{"start is no JSON", []string{"\x01{"}, "malformed frame: its start is not the JSON it should be"},
		{"start without a client", []string{"\x01{}"}, "malformed frame: its client must be"},
		{"attach is no JSON", []string{"\x02[]"}, "malformed frame: its attach is not the JSON it should be"},
		{"attach from before the beginning", []string{`` + "\x02" + `{"client":"a","from":-1}`}, "malformed frame: its client must be"},
		{"twice", []string{start, start}, "malformed frame: it is start, which a client does not send here"},
		{"a server's", []string{start, "\x0c{}"}, "malformed frame: it is exit, which a client does not send here"},
		{"input with a gap", []string{start, "\x06\x00\x00\x00\x00\x00\x00\x00\x01x"}, "malformed frame: input begins at 1, and only 0 bytes came before"},
		{"end with a gap", []string{start, "\x08\x00\x00\x00\x00\x00\x00\x00\x01"}, "malformed frame: input ends at 1, and only 0 bytes came before"},
		{"output that was not sent", []string{start, "\x05\x00\x00\x00\x00\x00\x00\x00\x01"}, "malformed frame: output before 1 is acknowledged, and there is none"},
		{"resize of no terminal", []string{start, "\x09\x00\x00\x00\x00"}, "malformed frame: it is a resize, and the session has no terminal"},
		{"an unknown signal", []string{start, "\x0aSTOP"}, `malformed frame: the signal "STOP" is none of`},
		{"too large", []string{strings.Repeat("x", maxMessage+1)}, "read limited at"},
	}
	server := newServer(t, Config{})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			socket := server.dialRaw(Subprotocol)
			for _, message := range test.messages {
				if err := socket.Write(testContext(t), websocket.MessageBinary, []byte(message)); err != nil {
					t.Fatal(err)
				}
			}
			conn := newConnection(socket)
			for {
				f, err := conn.receive()
				if err != nil {
					if test.name != "too large" {
						t.Fatalf("the connection ended without a word: %v", err)
					}
					if status := websocket.CloseStatus(err); status != websocket.StatusMessageTooBig {
						t.Errorf("the connection was closed with %v", err)
					}
					return
				}
				if f.kind == frameAttached {
					continue
				}
				var report errorReport
				if err := json.Unmarshal(f.data, &report); f.kind != frameError || err != nil {
					t.Fatalf("got %s %q", f.kind, f.data)
				}
				if report.Code != CodeMalformed || !strings.Contains(report.Message, test.want) {
					t.Errorf("got %+v, want a message with %q", report, test.want)
				}
				break
			}
			if _, err := conn.receive(); websocket.CloseStatus(err) != websocket.StatusProtocolError {
				t.Errorf("the connection was closed with %v", err)
			}
		})
	}
	t.Run("text", func(t *testing.T) {
		socket := server.dialRaw(Subprotocol)
		if err := socket.Write(testContext(t), websocket.MessageText, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		if f := receive(t, newConnection(socket), frameError); !strings.Contains(string(f.data), "it is text, and frames are binary") {
			t.Errorf("got %q", f.data)
		}
	})
}

func TestTooMuchInputUnderWay(t *testing.T) {
	server := newServer(t, Config{})
	conn := server.dialFrames()
	send(t, conn, startFrame("c", api.HijackProcess{Path: "sleep", Args: []string{"100000"}}))
	receive(t, conn, frameAttached)
	go func() {
		for offset := int64(0); conn.send(frame{kind: frameInput, offset: offset, data: make([]byte, maxData)}) == nil; {
			offset += maxData
		}
	}()
	for {
		f, err := conn.receive()
		if err != nil {
			t.Fatalf("the connection ended without a word: %v", err)
		}
		if f.kind == frameError {
			if !strings.Contains(string(f.data), "bytes of input are under way") {
				t.Errorf("got %q", f.data)
			}
			return
		}
	}
}

// TestStartTwice starts by the same name again, as a client does that missed the answer.
func TestStartTwice(t *testing.T) {
	server := newServer(t, Config{})
	var ids []string
	for range 2 {
		conn := server.dialFrames()
		send(t, conn, startFrame("the same", cat))
		reply, err := decodeMessage[attachedReply](receive(t, conn, frameAttached))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, reply.Session)
	}
	if ids[0] != ids[1] || len(server.current().List()) != 1 {
		t.Errorf("the sessions are %q", ids)
	}
}

// slowContainer takes its time to run a command.
type slowContainer struct {
	runtime.Container
	running chan struct{} // has one for each command that is asked for
	goOn    chan struct{} // closed when they may run
}

func (c *slowContainer) Run(ctx context.Context, spec runtime.ProcessSpec) (runtime.Process, error) {
	c.running <- struct{}{}
	<-c.goOn
	return c.Container.Run(ctx, spec)
}

// TestStartAgainMeanwhile starts by the same name again before the first start has ended,
// as a client does that has lost its connection.
func TestStartAgainMeanwhile(t *testing.T) {
	server := newServer(t, Config{})
	slow := &slowContainer{server.container, make(chan struct{}, 2), make(chan struct{})}
	server.container = slow
	first := server.dialFrames()
	send(t, first, startFrame("the same", cat))
	next(t, slow.running, "the command")
	second := server.dialFrames()
	send(t, second, startFrame("the same", cat))
	first.socket.CloseNow()
	close(slow.goOn)
	receive(t, second, frameAttached)
	if sessions, more := len(server.current().List()), len(slow.running); sessions != 1 || more != 0 {
		t.Errorf("there are %d sessions, and %d other commands were run", sessions, more)
	}
}

// TestOutputWaitsForTheClient has a client that acknowledges nothing: it gets its
// window and no more, pings are answered, and the rest comes once it acknowledges.
func TestOutputWaitsForTheClient(t *testing.T) {
	server := newServer(t, Config{})
	conn := server.dialFrames()
	const total = 1 << 20
	send(t, conn, startFrame("c", api.HijackProcess{Path: "head", Args: []string{"-c", fmt.Sprint(total), "/dev/zero"}}))
	receive(t, conn, frameAttached)
	var got int64
	for got+maxData <= minWindow {
		f := receive(t, conn, frameOutput)
		if f.offset != got {
			t.Fatalf("output begins at %d, want %d", f.offset, got)
		}
		got += int64(len(f.data))
	}
	send(t, conn, frame{kind: framePing, offset: 7})
	for {
		f, err := conn.receive()
		if err != nil {
			t.Fatal(err)
		}
		if f.kind == framePong {
			break
		}
		got += int64(len(f.data))
	}
	if got > minWindow {
		t.Fatalf("%d bytes are under way, more than the window of %d", got, minWindow)
	}
	for {
		send(t, conn, frame{kind: frameOutputAck, offset: got})
		f, err := conn.receive()
		if err != nil {
			t.Fatal(err)
		}
		if f.kind == frameExit {
			break
		}
		got += int64(len(f.data))
	}
	if got != total {
		t.Errorf("%d bytes came, want %d", got, total)
	}
	// Until the client says that it has it all, the session stays.
	if list := server.current().List(); len(list) != 1 || list[0].EndTime == 0 {
		t.Errorf("the sessions are %+v", list)
	}
	send(t, conn, frame{kind: frameEndAck})
	server.forgotten()
}

// TestSlowWatcher has a client that reads nothing for a while beside one that reads
// all: the first is told what it lost, the second is not kept waiting.
func TestSlowWatcher(t *testing.T) {
	server := newServer(t, Config{Scrollback: 64 << 10})
	slow := server.dialFrames()
	const lines = 200_000
	send(t, slow, startFrame("slow", api.HijackProcess{
		Path: "sh", Args: []string{"-c", fmt.Sprintf("seq %d; read end", lines)}, TTY: &api.HijackTTY{},
	}))
	reply, err := decodeMessage[attachedReply](receive(t, slow, frameAttached))
	if err != nil {
		t.Fatal(err)
	}
	fast := begin(t, Options{Endpoint: server.endpoint(), Session: reply.Session, ReadOnly: true})
	last := fmt.Sprintf("\n%d\r\n", lines)
	fast.stdout.await(t, "the last line", func(text string) bool { return strings.HasSuffix(text, last) })

	var all strings.Builder
	var next, lost int64
	for !strings.HasSuffix(all.String(), last) {
		f, err := slow.receive()
		if err != nil {
			t.Fatal(err)
		}
		if f.offset != next {
			t.Fatalf("%s begins at %d, want %d", f.kind, f.offset, next)
		}
		switch f.kind {
		case frameOutput:
			all.Write(f.data)
			next += int64(len(f.data))
		case frameLost:
			lost += f.count
			next += f.count
		default:
			t.Fatalf("got %s %q", f.kind, f.data)
		}
		send(t, slow, frame{kind: frameOutputAck, offset: next})
	}
	if lost == 0 {
		t.Error("nothing was lost, with a scrollback smaller than what was not read")
	}
}

func TestManySessions(t *testing.T) {
	const count = 50
	server := newServer(t, Config{MaxPerContainer: count})
	var runs []*running
	for i := range count {
		runs = append(runs, begin(t, Options{
			Endpoint: server.endpoint(), Processes: script("read line; echo $line; exit $1", fmt.Sprint(i)),
			Stdin: nothing(t),
		}))
	}
	seen := map[string]bool{}
	for range count {
		seen[next(t, server.observer.began, "a session").ID] = true
	}
	if len(seen) != count || len(server.current().List()) != count {
		t.Errorf("%d sessions began and %d are listed, want %d", len(seen), len(server.current().List()), count)
	}
	result := begin(t, Options{Endpoint: server.endpoint(), Processes: script("true"), Stdin: nothing(t)}).wait()
	var report *Error
	if !asError(result.err, &report) || report.Code != CodeRefused || !strings.Contains(report.Message, "there are 50 sessions in this container already") {
		t.Errorf("one more gives %+v", result)
	}
	for _, session := range server.current().all() {
		session.End("enough")
	}
	for _, run := range runs {
		if result := run.wait(); !asError(result.err, &report) || report.Message != "enough" {
			t.Errorf("Run gave %+v", result)
		}
	}
	server.forgotten()
}

// A session that has begun takes one place, and not that which was reserved for it as well.
func TestPlacesOfSessions(t *testing.T) {
	server := newServer(t, Config{MaxPerContainer: 2})
	config := server.config
	began := &inBegan{observer: server.observer}
	config.Observer, config.Dir = began, t.TempDir()
	sessions, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	defer sessions.Close()
	start := func(client string) error {
		_, err := sessions.start(testContext(t), Place{Container: server.container}, script("sleep 100000")[0], client)
		return err
	}
	began.call = func() {
		if err := start("second"); err != nil {
			t.Errorf("a second session, of two, gives %v", err)
		}
	}
	if err := start("first"); err != nil {
		t.Fatal(err)
	}
	var report *Error
	if err := start("third"); !asError(err, &report) || report.Code != CodeRefused {
		t.Errorf("a third session gives %v", err)
	}
	for _, session := range sessions.all() {
		session.End("enough")
	}
}

// An inBegan is told once of a session that has begun, before whoever started it is.
type inBegan struct {
	*observer
	call func()
}

func (o *inBegan) SessionBegan(session api.HijackSession) {
	if call := o.call; call != nil {
		o.call = nil
		call()
	}
	o.observer.SessionBegan(session)
}

func TestObserver(t *testing.T) {
	server := newServer(t, Config{})
	run := begin(t, Options{Endpoint: server.endpoint(), Processes: script("read line; exit 3", "argument"), Stdin: strings.NewReader("\n")})
	run.exits(3)
	began := next(t, server.observer.began, "the beginning")
	want := api.HijackSession{
		ID: began.ID, Container: "container", TeamName: "main", BuildID: 12, PlanID: "3", StepName: "one-off", User: "me", From: "127.0.0.1",
		Command: []string{"sh", "-c", "read line; exit 3", "sh", "argument"}, BeginTime: began.BeginTime,
	}
	if diff := cmp.Diff(want, began); diff != "" || began.ID == "" || began.BeginTime == 0 {
		t.Errorf("the beginning differs (-want +got):\n%s", diff)
	}
	ended := next(t, server.observer.ended, "the end")
	if ended.session.ID != began.ID || ended.session.EndTime == 0 || ended.end.Exit == nil || ended.end.Exit.Code != 3 || ended.end.Message != "" {
		t.Errorf("the end is %+v", ended)
	}
	if used := next(t, server.observer.used, "the use"); used.Container != "container" {
		t.Errorf("the use is %+v", used)
	}
}

func TestServeWhatIsNoWebsocket(t *testing.T) {
	server := newServer(t, Config{})
	response, err := http.Get(server.http.URL)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("the server answers %s", response.Status)
	}
}
