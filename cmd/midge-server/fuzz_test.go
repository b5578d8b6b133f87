package main

import (
	"testing"

	"github.com/spf13/pflag"
)

// Whatever is in a file of settings, or in a variable, is set or is an error.
func FuzzSettings(f *testing.F) {
	for _, text := range []string{
		"listen: 127.0.0.1:0\nadd-local-user: [\"ann:x\", \"bob:y\"]\nmax-active-builds: 3\n",
		"teams: {main: {owner: {users: [\"local:ann\"], groups: []}}}\n", "workers: [{name: a, runtime: kubernetes, tags: [x]}]\n",
		"config: other.yml\n", "listne: x\n", "gc-grace: [1, 2]\n", "min-free-space: 1XB\n", "teams: []\n", "- a\n", "\x00", "a: &a [*a]\n", "1: 2\n",
	} {
		f.Add([]byte(text), "2GB")
	}
	f.Fuzz(func(t *testing.T, text []byte, value string) {
		for _, read := range []func(*settings, *pflag.FlagSet) error{
			func(s *settings, flags *pflag.FlagSet) error { return s.readFile(flags, "settings.yml", text) },
			func(s *settings, flags *pflag.FlagSet) error {
				return readEnvironment(flags, func(string) (string, bool) { return value, true })
			},
		} {
			var s settings
			flags := pflag.NewFlagSet("midge-server", pflag.ContinueOnError)
			s.addTo(flags)
			if err := read(&s, flags); err != nil && err.Error() == "" {
				t.Error("the error says nothing")
			}
		}
	})
}
