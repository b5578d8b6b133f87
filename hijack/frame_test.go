package hijack

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"midge/runtime"
)

var frames = []struct {
	message string
	frame   frame
}{
	{"\x01{}", frame{kind: frameStart, data: []byte("{}")}},
	{"\x02{\"session\":\"a\"}", frame{kind: frameAttach, data: []byte(`{"session":"a"}`)}},
	{"\x03{}", frame{kind: frameAttached, data: []byte("{}")}},
	{"\x04\x01\x00\x00\x00\x00\x00\x00\x01\x02text", frame{kind: frameOutput, stream: runtime.Stdout, offset: 258, data: []byte("text")}},
	{"\x04\x02\x00\x00\x00\x00\x00\x00\x00\x00", frame{kind: frameOutput, stream: runtime.Stderr}},
	{"\x05\x00\x00\x00\x00\x00\x00\x00\x05", frame{kind: frameOutputAck, offset: 5}},
	{"\x06\x00\x00\x00\x00\x00\x00\x00\x07\x00\xff", frame{kind: frameInput, offset: 7, data: []byte("\x00\xff")}},
	{"\x07\x00\x00\x00\x00\x00\x00\x00\x09", frame{kind: frameInputAck, offset: 9}},
	{"\x08\x00\x00\x00\x00\x00\x00\x00\x09", frame{kind: frameCloseStdin, offset: 9}},
	{"\x09\x00\x50\x00\x18", frame{kind: frameResize, size: runtime.WindowSize{Columns: 80, Rows: 24}}},
	{"\x0aINT", frame{kind: frameSignal, data: []byte("INT")}},
	{"\x0b", frame{kind: frameEnd}},
	{"\x0c{}", frame{kind: frameExit, data: []byte("{}")}},
	{"\x0d{}", frame{kind: frameError, data: []byte("{}")}},
	{"\x0e\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02", frame{kind: frameLost, offset: 1, count: 2}},
	{"\x0f", frame{kind: frameEndAck}},
	{"\x10\x00\x00\x00\x00\x00\x00\x00\x01", frame{kind: framePing, offset: 1}},
	{"\x11\x00\x00\x00\x00\x00\x00\x00\x01", frame{kind: framePong, offset: 1}},
}

func TestFrames(t *testing.T) {
	kinds := map[frameKind]bool{}
	for _, test := range frames {
		kinds[test.frame.kind] = true
		got, err := parseFrame([]byte(test.message))
		if err != nil {
			t.Errorf("parse %q: %v", test.message, err)
			continue
		}
		if diff := cmp.Diff(test.frame, got, cmp.AllowUnexported(frame{})); diff != "" {
			t.Errorf("parse %q differs (-want +got):\n%s", test.message, diff)
		}
		if message := test.frame.appendTo(nil); string(message) != test.message {
			t.Errorf("%+v is %q, want %q", test.frame, message, test.message)
		}
	}
	if len(kinds) != len(shapes) {
		t.Errorf("%d kinds of frames are tested, of %d", len(kinds), len(shapes))
	}
}

func TestMalformedFrames(t *testing.T) {
	tests := []struct{ message, want string }{
		{"", "it is empty"},
		{"\x00", "its kind is 0x00"},
		{"\xff", "its kind is 0xff"},
		{"\x04\x01\x00", "its output header is cut"},
		{"\x04\x03\x00\x00\x00\x00\x00\x00\x00\x00", "its stream is 3"},
		{"\x06\xff\x00\x00\x00\x00\x00\x00\x00", "a number of its input is out of range"},
		{"\x0e\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x01", "a number of its lost is out of range"},
		{"\x09\x00\x50\x00", "its resize header is cut"},
		{"\x05\x00\x00\x00\x00\x00\x00\x00\x00x", "its output-ack has 1 bytes of data, more than the 0"},
		{"\x0bx", "its end has 1 bytes of data"},
		{"\x0a" + strings.Repeat("x", 17), "its signal has 17 bytes of data, more than the 16"},
		{"\x06\x00\x00\x00\x00\x00\x00\x00\x00" + strings.Repeat("x", maxData+1), "its input has 65537 bytes of data"},
	}
	for _, test := range tests {
		_, err := parseFrame([]byte(test.message))
		var bad *malformedError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("parse %.40q gives %v, want an error with %q", test.message, err, test.want)
		}
	}
}

func FuzzFrame(f *testing.F) {
	for _, test := range frames {
		f.Add([]byte(test.message))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		parsed, err := parseFrame(message)
		if err != nil {
			return
		}
		if parsed.offset < 0 || parsed.count < 0 || parsed.offset+parsed.count > math.MaxInt64-maxMessage {
			t.Errorf("%q has numbers out of range: %+v", message, parsed)
		}
		if again := parsed.appendTo(nil); !bytes.Equal(again, message) {
			t.Errorf("%q comes back as %q", message, again)
		}
	})
}
