package hijack

import (
	"os"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
)

// TestFlyRecordings plays what fly sent to a Concourse, and compares the answers.
func TestFlyRecordings(t *testing.T) {
	recording, err := os.ReadFile("../testdata/wire/hijack.txt")
	if err != nil {
		t.Fatal(err)
	}
	server := newServer(t, Config{})
	played := 0
	for _, part := range strings.Split(string(recording), "\n### ")[1:] {
		name, exchange, _ := strings.Cut(part, "\n")
		sent := withPrefix(exchange, "client> MessageText ")
		want := withPrefix(exchange, "server> MessageText ")
		if len(sent) == 0 || strings.Contains(name, "interactive") {
			continue // no websocket, or one whose answers are a particular shell's
		}
		played++
		t.Run(name, func(t *testing.T) {
			socket := server.dialRaw()
			for _, message := range sent {
				message = strings.Replace(message, "/tmp/build/b1dda4c3", "/work", 1)
				if err := socket.Write(testContext(t), websocket.MessageText, []byte(message)); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			for {
				_, message, err := socket.Read(testContext(t))
				if err != nil {
					if websocket.CloseStatus(err) != websocket.StatusNormalClosure {
						t.Errorf("the server closed with %v", err)
					}
					break
				}
				got = append(got, string(message))
			}
			if strings.HasPrefix(name, "executable not found") {
				if len(got) != 1 || !strings.HasPrefix(got[0], `{"error":"cannot run /no/such: `) {
					t.Errorf("the server answered %q", got)
				}
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the answers differ (-want +got):\n%s", diff)
			}
		})
	}
	if played < 3 {
		t.Errorf("%d exchanges were played, want 3", played)
	}
}

func withPrefix(text, prefix string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			lines = append(lines, strings.TrimSuffix(rest, "\n"))
		}
	}
	return lines
}

func TestFlyMessages(t *testing.T) {
	tests := []struct {
		name     string
		messages []string
		want     []string
	}{
		{"bash, which is not there", []string{`{"path":"bash","args":null}`}, []string{`{"executable_not_found":true}`}},
		{"no JSON", []string{`{`}, []string{`{"error":"malformed frame: the first message is not the JSON of a process"}`}},
		{"no JSON later", []string{`{"path":"cat"}`, `[]`}, []string{`{"error":"malformed frame: a message is not the JSON of input"}`}},
		{"a size that cannot be", []string{`{"path":"cat","tty":{"window_size":{"columns":65536,"rows":1}}}`}, []string{`{"error":"a terminal of 65536 columns and 1 rows cannot be: each is 0 to 65535"}`}},
		{"no command", []string{`{}`}, []string{`{"error":"no command was given"}`}},
	}
	server := newServer(t, Config{})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			socket := server.dialRaw()
			for _, message := range test.messages {
				if err := socket.Write(testContext(t), websocket.MessageText, []byte(message)); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			for {
				_, message, err := socket.Read(testContext(t))
				if err != nil {
					break
				}
				got = append(got, string(message))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("the answers differ (-want +got):\n%s", diff)
			}
		})
	}
}

// TestFlyThatGoes ends the session of a client that cannot come back.
func TestFlyThatGoes(t *testing.T) {
	server := newServer(t, Config{})
	socket := server.dialRaw()
	if err := socket.Write(testContext(t), websocket.MessageText, []byte(`{"path":"sleep","args":["100000"]}`)); err != nil {
		t.Fatal(err)
	}
	next(t, server.observer.began, "the session")
	socket.CloseNow()
	end := next(t, server.observer.ended, "the end").end
	if end.Exit == nil || end.Exit.Signal != "HUP" {
		t.Errorf("the session ended with %+v", end)
	}
}
