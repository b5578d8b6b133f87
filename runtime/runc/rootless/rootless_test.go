package rootless

import (
	"os/user"
	"strings"
	"testing"
)

var ann = &user.User{Username: "ann", Uid: "1000"}

func TestHasRange(t *testing.T) {
	for content, want := range map[string]bool{
		"bob:100000:65536\nann:165536:65536\n": true,
		"1000:100000:65536":                    true,
		"ann:100000:65536\r\n":                 true,
		"ann":                                  false,
		"ann:":                                 false,
		"ann:100000":                           false,
		"ann:100000:0":                         false,
		"ann:x:65536":                          false,
		"ann:100000:-1":                        false,
		"anna:100000:65536":                    false,
		"#ann:100000:65536":                    false,
		"":                                     false,
	} {
		if got := hasRange(content, ann); got != want {
			t.Errorf("%q gives ann a range: %v, want %v", content, got, want)
		}
	}
}

func TestIsOneAlone(t *testing.T) {
	for content, want := range map[string]bool{
		"         0       1000          1\n         1     100000      65536\n": true,
		"0 0 4294967295\n": false,
		"1 1000 1\n":       false,
		"0 1000":           false,
		"":                 false,
	} {
		if got := isOneAlone(content); got != want {
			t.Errorf("%q is of one user alone: %v, want %v", content, got, want)
		}
	}
}

// A user has a range by one of the lines, which is named so, and no other makes a difference.
func FuzzHasRange(f *testing.F) {
	for _, content := range []string{"ann:100000:65536\n", "bob:1:1\n1000:2:2", "ann", "ann:100000:0", ":::", "ann:99999999999:1", "\x00ann:1:1"} {
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, content string) {
		found := false
		for line := range strings.Lines(content) {
			if hasRange(line, ann) {
				found = true
				if line = strings.TrimSpace(line); !strings.HasPrefix(line, "ann:") && !strings.HasPrefix(line, "1000:") {
					t.Errorf("%q gives ann a range", line)
				}
			}
		}
		if hasRange(content, ann) != found {
			t.Errorf("of %q no line gives ann a range, and all of it does, or the other way round", content)
		}
	})
}

func FuzzIsOneAlone(f *testing.F) {
	for _, content := range []string{"0 1000 1\n1 100000 65536\n", "0 0 4294967295\n", "0 1000 1", "\n0 1 1", "0\t1\t1"} {
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, content string) {
		first, rest, _ := strings.Cut(content, "\n")
		if isOneAlone(content) != isOneAlone(first) || isOneAlone(first) && !strings.Contains(first, "1") {
			t.Errorf("%q, with %q behind it, is not judged by its first line", first, rest)
		}
	})
}
