package main

import "testing"

// A command that a message has for typing begins with the program's name and asks the server
// that this one was told to; what only speaks of a command stays as it is.
func TestTyped(t *testing.T) {
	for _, test := range []struct{ name, target, text, want string }{
		{"midge", "", "held for 2h: midge hijack -b 7", "held for 2h: midge hijack -b 7"},
		{"fly", "", "held for 2h: midge hijack -b 7", "held for 2h: fly hijack -b 7"},
		{"midge", "ci", "held for 2h: midge hijack -b 7", "held for 2h: midge -t ci hijack -b 7"},
		{"fly", "ci", "midge hold 7 keeps it, midge release 7 lets it go", "fly hold 7 keeps it, fly -t ci release 7 lets it go"},
		{"midge", "http://127.0.0.1:8080", "for: midge artifacts pull 7 DIRECTORY", "for: midge -t http://127.0.0.1:8080 artifacts pull 7 DIRECTORY"},
		{"midge", "my ci", "name one:\nmidge hijack --handle b7", "name one:\nmidge -t 'my ci' hijack --handle b7"},
		{"midge", "ci", "log in with: midge -t NAME login -c URL", "log in with: midge -t NAME login -c URL"},
		{"fly", "ci", "log in with: midge -t NAME login -c URL", "log in with: fly -t NAME login -c URL"},
		{"midge", "ci", `look at its URL with "midge targets"`, `look at its URL with "midge targets"`},
		{"midge", "ci", "midge hijack has no flag -z; see midge hijack --help", "midge hijack has no flag -z; see midge hijack --help"},
		{"midge", "ci", "see midge tokens create --help", "see midge tokens create --help"},
		{"midge", "ci", "the server is no midge that moves artifacts", "the server is no midge that moves artifacts"},
	} {
		p := &program{name: test.name}
		newRootCommand(p)
		p.flags.target = test.target
		if got := p.typed(test.text); got != test.want {
			t.Errorf("as %s for %q: %q, want %q", test.name, test.target, got, test.want)
		}
	}
}
