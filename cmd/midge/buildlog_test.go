package main

import (
	"strings"
	"testing"
)

// Of what a task's terminal writes, another terminal shows the same, however it is cut
// into pieces.
func TestWithoutReturns(t *testing.T) {
	for _, test := range []struct{ pieces, want string }{
		{"one\r\n|two\r\n", "one\ntwo\n"},
		{"one\r|\ntwo\r\n", "one\ntwo\n"},
		{"10%\r|20%\r|\r|\nend", "10%\r20%\r\nend"},
		{"no terminal\n|\n", "no terminal\n\n"},
		{"a\rb||\rc\n\r\r\n", "a\rb\rc\n\r\n"},
		{"\r", ""},
	} {
		var l buildLog
		var got strings.Builder
		for piece := range strings.SplitSeq(test.pieces, "|") {
			got.Write(l.withoutReturns([]byte(piece), 0))
		}
		if got.String() != test.want {
			t.Errorf("%q is shown as %q, want %q", test.pieces, got.String(), test.want)
		}
		if other := l.withoutReturns([]byte("x"), 1); string(other) != "x" {
			t.Errorf("the other stream shows %q", other)
		}
	}
}
