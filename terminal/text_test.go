package terminal

import (
	"strings"
	"testing"
	"unicode/utf8"
)

var texts = []struct{ name, in, text, line string }{
	{"plain", "a b-c", "a b-c", "a b-c"},
	{"empty", "", "", ""},
	{"unicode", "naïve ☃ 日本", "naïve ☃ 日本", "naïve ☃ 日本"},
	{"joined", "👩\u200d💻", "👩\u200d💻", "👩\u200d💻"},
	{"colour", "\x1b[31mred\x1b[0m", "red", "red"},
	{"cursor", "a\x1b[2J\x1b[1;1Hb", "ab", "ab"},
	{"title", "a\x1b]0;evil\ab", "ab", "ab"},
	{"title, string terminator", "a\x1b]0;evil\x1b\\b", "ab", "ab"},
	{"title not ended", "a\x1b]0;evil\nb", "a\nb", "a b"},
	{"device control", "a\x1bPq#0\x1b\\b", "ab", "ab"},
	{"character set", "a\x1b(Bb", "ab", "ab"},
	{"reset", "a\x1bcb", "ab", "ab"},
	{"escape at the end", "a\x1b", "a", "a"},
	{"escape before a letter of two bytes", "a\x1bé", "aé", "aé"},
	{"sequence broken by text", "a\x1b[3日", "a日", "a日"},
	{"upper control set", "a\u009b31mb\u009d0;evil\u009cc", "abc", "abc"},
	{"raw upper control byte", "a\x9b31m", "a\uFFFD31m", "a\uFFFD31m"},
	{"carriage return", "good\rbad", "goodbad", "goodbad"},
	{"backspace and delete", "a\b\x7fb", "ab", "ab"},
	{"lines and tabs", "a\n\tb\n", "a\n\tb\n", "a  b"},
	{"reordering", "a\u202Egpj.exe", "agpj.exe", "agpj.exe"},
	{"no UTF-8", "a\xff\xfeb", "a\uFFFD\uFFFDb", "a\uFFFD\uFFFDb"},
	{"NUL", "a\x00b", "ab", "ab"},
}

func TestText(t *testing.T) {
	for _, test := range texts {
		if got := Text(test.in); got != test.text {
			t.Errorf("%s: Text(%q) = %q, want %q", test.name, test.in, got, test.text)
		}
	}
}

func TestLine(t *testing.T) {
	for _, test := range texts {
		if got := Line(test.in); got != test.line {
			t.Errorf("%s: Line(%q) = %q, want %q", test.name, test.in, got, test.line)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, test := range texts {
		f.Add(test.in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		out := Text(in)
		if !utf8.ValidString(out) {
			t.Errorf("Text(%q) = %q is not UTF-8", in, out)
		}
		for _, r := range out {
			if r != '\n' && r != '\t' && !isShown(r) {
				t.Errorf("Text(%q) = %q has %U in it", in, out, r)
			}
		}
		if again := Text(out); again != out {
			t.Errorf("Text(Text(%q)) = %q, want %q", in, again, out)
		}
		if line := Line(in); strings.ContainsAny(line, "\n\t") {
			t.Errorf("Line(%q) = %q has more than one line", in, line)
		}
	})
}
