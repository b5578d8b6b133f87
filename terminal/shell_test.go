package terminal

import (
	"os/exec"
	"testing"
)

// A shell takes the word for what was written.
func TestShellWord(t *testing.T) {
	for text, want := range map[string]string{
		"plain-1_a./b": "plain-1_a./b",
		"":             "''",
		"two words":    "'two words'",
		"it's":         `'it'\''s'`,
		"$HOME; `id`":  "'$HOME; `id`'",
		"a\nb\\":       "'a\nb\\'",
		"café":         "'café'",
	} {
		word := ShellWord(text)
		if word != want {
			t.Errorf("ShellWord(%q) = %s, want %s", text, word, want)
		}
		out, err := exec.Command("sh", "-c", "printf %s "+word).Output()
		if err != nil || string(out) != text {
			t.Errorf("a shell reads %s as %q (%v), want %q", word, out, err, text)
		}
	}
}
