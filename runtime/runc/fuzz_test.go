package runc

import (
	"bytes"
	"testing"
)

// A range that is taken from a file like /etc/subuid has numbers, and not root's.
func FuzzParseRanges(f *testing.F) {
	for _, text := range []string{"root:100000:65536\n", "0:1:4294967295\n", "root:0:1\n", "root:4294967295:4294967295\n", "root:x\nroot:1:1", "#\n\n:::"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := parseRanges(bytes.NewReader(text), []string{"root", "0"})
		if err == nil && (r.start == 0 || r.size == 0 || uint64(r.start)+uint64(r.size) > 1<<32-1) {
			t.Errorf("%q gave %+v", text, r)
		}
	})
}
