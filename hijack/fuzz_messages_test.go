package hijack

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"

	"midge/api"
)

// Whatever is in a frame, at either end, it is a message or malformed.
func FuzzMessages(f *testing.F) {
	for _, text := range []string{
		`{"process":{"path":"sh"},"client":"c","window":1}`, `{"session":"../x","client":"c","from":-1,"input":-1,"window":-1}`,
		`{"session":"s","command":["a"],"sequence":9223372036854775807}`, `{"exit_status":1,"usage":{}}`, `{"code":"x","message":"\u001b"}`, `[]`, `null`, ``,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		from := frame{data: text}
		for name, decode := range map[string]func() error{
			"start":    func() error { _, err := decodeMessage[startRequest](from); return err },
			"attach":   func() error { _, err := decodeMessage[attachRequest](from); return err },
			"attached": func() error { _, err := decodeMessage[attachedReply](from); return err },
			"exit":     func() error { _, err := decodeMessage[exitReport](from); return err },
			"error":    func() error { _, err := decodeMessage[errorReport](from); return err },
		} {
			var refused *malformedError
			if err := decode(); err != nil && !errors.As(err, &refused) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// Whatever a server of fly's wire sends is output that is kept as it came, an end, or
// an error that can be shown.
func FuzzFlyOutput(f *testing.F) {
	for _, text := range []string{
		`{"stdout":"aGVsbG8="}`, `{"stderr":"aGVsbG8=","stdout":"x"}`, `{"exit_status":-1}`, `{"error":"\u001b]0;x\u0007"}`,
		`{"executable_not_found":true}`, `{"stdout":1}`, `null`, ``,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		var output api.HijackOutput
		if json.Unmarshal(message, &output) != nil {
			return
		}
		link := &flyLink{client: &client{in: newInbox()}}
		err := link.handle(t.Context(), output)
		var refused *Error
		switch arrived := link.in.position(); {
		case err == nil && arrived != int64(len(output.Stdout)+len(output.Stderr)):
			t.Errorf("%d bytes arrived of %s", arrived, message)
		case errors.As(err, &refused) && strings.ContainsFunc(refused.Message, unicode.IsControl):
			t.Errorf("the error is %q", refused.Message)
		}
	})
}

// What is typed is sent as it is but for the commands in it, in whatever pieces it comes.
func FuzzEscape(f *testing.F) {
	for _, typed := range []string{"ls\r~.", "~?~~x\n~", "a~.\r", "\x1b[A~"} {
		f.Add([]byte(typed), 2)
	}
	f.Fuzz(func(t *testing.T, typed []byte, cut int) {
		cut = max(0, min(cut, len(typed)))
		var sent [2][]byte
		for i, pieces := range [][][]byte{{typed}, {typed[:cut], typed[cut:]}} {
			e := escape{char: '~'}
			for _, rest := range pieces {
				for len(rest) > 0 {
					var send []byte
					send, _, rest = e.next(rest)
					sent[i] = append(sent[i], send...)
				}
			}
			if e.held {
				sent[i] = append(sent[i], e.char)
			}
		}
		if !bytes.Equal(sent[0], sent[1]) {
			t.Errorf("%q is sent as %q, and cut at %d as %q", typed, sent[0], cut, sent[1])
		}
	})
}
