package runc

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// FuzzMachine has the files of the machine that say who may be what say anything: what is
// taken from them are numbers that there can be, and never root's.
func FuzzMachine(f *testing.F) {
	for _, text := range []string{
		"root:100000:65536\n", "0:1:4294967295\n", "root:0:1\n", "root:4294967295:4294967295\n", "root:x\nroot:1:1", "#\n\n:::",
		"         0       1000          1\n         1     100000      65536\n", "0 0 4294967295\n", "1 1 4294967295\n2 2 4294967295", "0 0 1\n", "1 2\n",
		"Name:\tmidge-server\nCapBnd:\t000001ffffffffff\n", "CapBnd: ffffffffffffffff\n", "CapBnd:\tx\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for what, read := range map[string]func() (idRange, error){
			"a file of ranges": func() (idRange, error) { return parseRanges(bytes.NewReader(text), []string{"root", "0"}) },
			"a map":            func() (idRange, error) { return parseMap(bytes.NewReader(text)) },
		} {
			r, err := read()
			if err == nil && (r.start == 0 || r.size == 0 || uint64(r.start)+uint64(r.size) > 1<<32) {
				t.Errorf("%q as %s gave %+v", text, what, r)
			}
		}
		names, err := parseCapabilities(bytes.NewReader(text))
		if err != nil && names != nil || slices.ContainsFunc(names, func(name string) bool { return !strings.HasPrefix(name, "CAP_") }) {
			t.Errorf("%q gave the capabilities %q (%v)", text, names, err)
		}
	})
}
