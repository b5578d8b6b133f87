package terminal_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"midge/terminal"
)

// FuzzJSON: what is written is the same JSON, and has no control characters but line ends.
func FuzzJSON(f *testing.F) {
	for _, text := range []string{"plain", "é\u009b2J\x7f\u0085", "\x1b[2J\xff", "\u2028<&>"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var plain, written bytes.Buffer
		for _, w := range []*json.Encoder{json.NewEncoder(&plain), json.NewEncoder(terminal.JSON(&written))} {
			w.SetEscapeHTML(false)
			if err := w.Encode(text); err != nil {
				t.Fatal(err)
			}
		}
		if strings.ContainsFunc(strings.TrimSuffix(written.String(), "\n"), unicode.IsControl) {
			t.Errorf("%q is written as %q", text, written.String())
		}
		var want, got string
		if err := json.Unmarshal(plain.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(written.Bytes(), &got); err != nil || got != want {
			t.Errorf("%q is read as %q (%v)", want, got, err)
		}
	})
}
