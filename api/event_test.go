package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// TestRecordedEvents decodes what a Concourse sent, and writes it again byte for byte.
func TestRecordedEvents(t *testing.T) {
	kinds := map[string]bool{}
	for _, line := range recorded(t, "execute.txt", `data: {`) {
		text := "{" + line
		var event Event
		if err := json.Unmarshal([]byte(text), &event); err != nil {
			t.Fatal(err)
		}
		data, err := event.Decode()
		if err != nil {
			t.Errorf("event %s: %v", text, err)
			continue
		}
		kinds[event.Event] = true
		written := NewEvent(data)
		written.ID = event.ID
		encoded, err := json.Marshal(written)
		if err != nil {
			t.Fatal(err)
		}
		if string(encoded) != text {
			t.Errorf("event\n%s\ncomes back as\n%s", text, encoded)
		}
	}
	if len(kinds) != 7 {
		t.Errorf("the recording has the kinds %v, want all 7", kinds)
	}
}

func TestMidgeEvents(t *testing.T) {
	origin := Origin{ID: "1"}
	for _, data := range []EventData{
		WaitingEvent{Time: 1, Origin: origin, Reason: "4 builds run", Ahead: 2},
		HoldEvent{Time: 1, Origin: origin, Container: "c", Until: 2, By: "me"},
		HijackEvent{Time: 2, Origin: origin, Container: "c", Session: "s", User: "me", From: "::1", Command: []string{"sh"}, Began: 1, ExitStatus: pointer(0)},
		CauseEvent{Time: 1, Origin: origin, Code: "oom", Message: "out of memory"},
		NewLogEvent(1, origin, []byte("a\xff")),
	} {
		event := NewEvent(data)
		got, err := event.Decode()
		if err != nil {
			t.Errorf("%+v: %v", event, err)
			continue
		}
		if diff := cmp.Diff(data, got); diff != "" {
			t.Errorf("event differs (-want +got):\n%s", diff)
		}
	}
}

func TestUnknownEvents(t *testing.T) {
	tests := []struct {
		event   Event
		unknown bool
	}{
		{Event{Event: "finish-get", Version: "5.0", Data: json.RawMessage(`{}`)}, true},
		{Event{Event: EventLog, Version: "6.0", Data: json.RawMessage(`{}`)}, true},
		{Event{Event: EventLog, Version: "", Data: json.RawMessage(`{}`)}, true},
		{Event{Event: EventLog, Version: "5.9", Data: json.RawMessage(`[]`)}, false},
		{Event{Event: EventLog, Version: "5.1"}, false},
	}
	for _, test := range tests {
		data, err := test.event.Decode()
		var unknown *UnknownEventError
		if err == nil || errors.As(err, &unknown) != test.unknown {
			t.Errorf("%+v gives %v, %v; unknown should be %v", test.event, data, err, test.unknown)
		}
	}
}

func TestLogEvent(t *testing.T) {
	tests := []struct {
		output, payload string
		bytes           []byte
	}{
		{"plain\r\n", "plain\r\n", nil},
		{"", "", nil},
		{"☃\x00\x1b[0m", "☃\x00\x1b[0m", nil},
		{"a\xff\xfe\xe2\x98b", "a\uFFFD\uFFFD\uFFFD\uFFFDb", []byte("a\xff\xfe\xe2\x98b")},
	}
	for _, test := range tests {
		event := NewLogEvent(1, Origin{}, []byte(test.output))
		if event.Payload != test.payload || !bytes.Equal(event.Bytes, test.bytes) {
			t.Errorf("%q gives payload %q and bytes %q", test.output, event.Payload, event.Bytes)
		}
		var read LogEvent
		if err := json.Unmarshal(NewEvent(event).Data, &read); err != nil {
			t.Fatal(err)
		}
		if got := string(read.Output()); got != test.output {
			t.Errorf("%q is %q once sent", test.output, got)
		}
	}
}

func TestRuneSplitter(t *testing.T) {
	tests := []struct {
		name string
		in   []string
		want []string // the last is what Flush gives
	}{
		{"whole", []string{"ab", "c☃"}, []string{"ab", "c☃", ""}},
		{"cut", []string{"a\xe2", "\x98", "\x83b"}, []string{"a", "", "☃b", ""}},
		{"cut at the end", []string{"a\xf0\x9f\x91"}, []string{"a", "\xf0\x9f\x91"}},
		{"four bytes", []string{"\xf0", "\x9f\x91", "\xa9!"}, []string{"", "", "👩!", ""}},
		{"begins none", []string{"a\xff", "\x80\x80\x80\x80"}, []string{"a\xff", "\x80\x80\x80\x80", ""}},
		{"not continued", []string{"\xe2", "a"}, []string{"", "\xe2a", ""}},
		{"begun twice", []string{"\xe2", "\xe2", "\x98\x83"}, []string{"", "\xe2", "☃", ""}},
		{"never whole", []string{"\xe0\x80"}, []string{"\xe0\x80", ""}},
		{"empty", []string{"", ""}, []string{"", "", ""}},
	}
	for _, test := range tests {
		var splitter RuneSplitter
		var got []string
		for _, chunk := range test.in {
			got = append(got, string(splitter.Split([]byte(chunk))))
		}
		if held := splitter.Held(); held != len(test.want[len(test.want)-1]) {
			t.Errorf("%s: %d bytes are held back", test.name, held)
		}
		got = append(got, string(splitter.Flush()))
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: pieces differ (-want +got):\n%s", test.name, diff)
		}
	}
}

func FuzzRuneSplitter(f *testing.F) {
	f.Add([]byte("a☃b👩\xff\xe2\x98"), uint8(1))
	f.Add([]byte("\xf0\x9f\x91\xa9\xf0\x9f"), uint8(3))
	f.Fuzz(func(t *testing.T, stream []byte, size uint8) {
		var splitter RuneSplitter
		var out []byte
		for rest := stream; len(rest) > 0; {
			n := min(len(rest), int(size%7)+1)
			piece := splitter.Split(rest[:n])
			if utf8.Valid(stream) && !utf8.Valid(piece) {
				t.Errorf("%q is cut within a character: %q", stream, piece)
			}
			out = append(out, piece...)
			rest = rest[n:]
		}
		if out = append(out, splitter.Flush()...); !bytes.Equal(out, stream) {
			t.Errorf("%q comes out as %q", stream, out)
		}
	})
}

func FuzzEvent(f *testing.F) {
	for _, line := range recorded(f, "execute.txt", `data: {`) {
		f.Add([]byte("{" + line))
	}
	f.Add([]byte(`{"data":{"payload":"a\ufffd","bytes":"Yf8="},"event":"log","version":"5.1","event_id":"3"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var event Event
		if json.Unmarshal(text, &event) != nil {
			return
		}
		data, err := event.Decode()
		if err != nil {
			return
		}
		again, err := NewEvent(data).Decode()
		if err != nil {
			t.Fatalf("event %s cannot be read again: %v", text, err)
		}
		if diff := cmp.Diff(data, again); diff != "" && !strings.Contains(string(text), "\\u") {
			t.Errorf("event %s differs the second time:\n%s", text, diff)
		}
	})
}
