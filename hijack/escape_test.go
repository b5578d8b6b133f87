package hijack

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEscape(t *testing.T) {
	const detach, help = "<detach>", "<help>"
	tests := []struct {
		name  string
		char  byte
		typed []string // each in a read of its own
		want  []string // what is sent, and commands, without empty pieces
	}{
		{"nothing special", '~', []string{"ls -l\r"}, []string{"ls -l\r"}},
		{"at the beginning", '~', []string{"~."}, []string{detach}},
		{"after a line", '~', []string{"ls\r~."}, []string{"ls\r", detach}},
		{"after a line feed", '~', []string{"ls\n~."}, []string{"ls\n", detach}},
		{"within a line", '~', []string{"ls ~."}, []string{"ls ~."}},
		{"in two reads", '~', []string{"\r~", ".x"}, []string{"\r", detach, "x"}},
		{"help, and on", '~', []string{"~?ls\r"}, []string{help, "ls\r"}},
		{"help, then at the beginning still", '~', []string{"~?~."}, []string{help, detach}},
		{"doubled", '~', []string{"~~.\r"}, []string{"~.\r"}},
		{"home", '~', []string{"~/bin\r"}, []string{"~/bin\r"}},
		{"before a line's end", '~', []string{"~\r~."}, []string{"~\r", detach}},
		{"held back", '~', []string{"~", "x"}, []string{"~x"}},
		{"another character", '^', []string{"~.\r^."}, []string{"~.\r", detach}},
		{"disabled", 0, []string{"~.", "\x00."}, []string{"~.", "\x00."}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := escape{char: test.char}
			var got []string
			for _, typed := range test.typed {
				for rest := []byte(typed); len(rest) > 0; {
					send, command, after := e.next(rest)
					rest = after
					if len(send) > 0 {
						got = append(got, string(send))
					}
					switch command {
					case escapeDetach:
						got = append(got, detach)
					case escapeHelp:
						got = append(got, help)
					}
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("differs (-want +got):\n%s", diff)
			}
		})
	}
}
