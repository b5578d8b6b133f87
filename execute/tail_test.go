package execute

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestTail(t *testing.T) {
	var many strings.Builder
	var last []string
	for i := range 5000 {
		fmt.Fprintf(&many, "line %d\n", i)
		if i >= 5000-tailLines {
			last = append(last, fmt.Sprintf("line %d", i))
		}
	}
	tests := []struct {
		name    string
		written []string
		want    []string
	}{
		{"nothing", nil, nil},
		{"only ends of lines", []string{"\n", "\r\n"}, nil},
		{"one line", []string{"one"}, []string{"one"}},
		{"in pieces", []string{"on", "e\ntw", "o\r\n"}, []string{"one", "two"}},
		{"an empty line between", []string{"one\n\ntwo\n"}, []string{"one", "", "two"}},
		{"no UTF-8", []string{"a\xffb\n"}, []string{"a\uFFFDb"}},
		{"much, at once", []string{many.String()}, last},
		{"much, in pieces", strings.SplitAfter(many.String(), "\n"), last},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var tail tail
			for _, output := range test.written {
				tail.add([]byte(output))
			}
			if got := tail.lines(); !slices.Equal(got, test.want) {
				t.Errorf("%q, want %q", got, test.want)
			}
			if cap(tail.kept) > 8*tailBytes {
				t.Errorf("%d bytes are kept", cap(tail.kept))
			}
		})
	}
}
