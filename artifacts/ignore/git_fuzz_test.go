package ignore

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzGit has git answer anything: what is taken of it was in the answer, and is about
// paths that nobody has excepted.
func FuzzGit(f *testing.F) {
	for _, answer := range []string{
		".gitignore\x003\x00*.o\x00a/b.o\x00sub/.gitignore\x001\x00!keep.o\x00sub/keep.o\x00",
		"a.go\x00sub/\x00sub/deep/b\x00",
		".gitignore\x00x\x00*.o\x00a.o\x00", "\x00\x00\x00\x00", ".gitignore\x001\x00*", "//\x00/\x00..\x00",
	} {
		f.Add([]byte(answer))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		rules, err := parseRules(answer)
		if err != nil && rules != nil {
			t.Errorf("%q gave %v and the error %v", answer, rules, err)
		}
		for path, rule := range rules {
			if strings.HasPrefix(rule.Pattern, "!") || !bytes.Contains(answer, []byte(rule.Pattern+"\x00"+path)) {
				t.Errorf("%q gave for %q the rule %+v", answer, path, rule)
			}
		}
		top := new(gitNode)
		for path := range zeroTerminated(answer) {
			top.add(path).listed = true
			if node := top.add(path); !node.listed {
				t.Errorf("%q is listed and not found", path)
			}
		}
	})
}
