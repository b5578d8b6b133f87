package server

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// htmlOf gives the HTML of pieces of output.
func htmlOf(pieces ...string) string {
	var t terminalHTML
	var b bytes.Buffer
	for _, piece := range pieces {
		t.write(&b, []byte(piece))
	}
	return b.String()
}

func TestTerminalHTML(t *testing.T) {
	tests := []struct{ name, output, html string }{
		{"text", "a\tb\n", "a\tb\n"},
		{"markup", `<b onclick="x">&'`, `&lt;b onclick=&#34;x&#34;&gt;&amp;&#39;`},
		{"colour", "a\x1b[31mred\x1b[0mb", `a<span class="f1">red</span>b`},
		{"reset without a number", "\x1b[1mx\x1b[my", `<span class="b">x</span>y`},
		{"several at once", "\x1b[1;4;92;41mx", `<span class="b u f10 g1">x</span>`},
		{"one after the other", "\x1b[1m\x1b[33mx\x1b[22my\x1b[39mz", `<span class="b f3">x</span><span class="f3">y</span>z`},
		{"of 256", "\x1b[38;5;9mx\x1b[48;5;21my", `<span class="f9">x</span><span class="f9 g12">y</span>`},
		{"a grey", "\x1b[38;5;244mx", `<span class="f7">x</span>`},
		{"red, green and blue", "\x1b[38;2;10;200;10mx\x1b[38:2:10:10:100my", `<span class="f10">x</span><span class="f4">y</span>`},
		{"too few numbers", "\x1b[38;2;1mx", "x"},
		{"no such colour", "\x1b[38;5;999mx", "x"},
		{"of xterm's own", "\x1b[>4;1mx\x1b[?1mz", "xz"},
		{"cursor", "a\x1b[2K\x1b[1Gb\x1b[?25lc\x1b7d\x1b(Be", "abcde"},
		{"title", "a\x1b]0;title\x07b\x1b]8;;https://evil.example\x1b\\c", "abc"},
		{"string without an end", "a\x1b]0;title\nb", "a\nb"},
		{"control characters", "a\x00\x07\x08\x7f\u0090b", "ab"},
		{"ends of lines", "a\r\nb\rc\r", "a\nb\nc"},
		{"no UTF-8", "a\xffb", "a\ufffdb"},
		{"long sequence", "\x1b[" + strings.Repeat("1;", 1000) + "mx", "x"},
		{"half a sequence", "x\x1b[3", "x"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := htmlOf(test.output); got != test.html {
				t.Errorf("got %q, want %q", got, test.html)
			}
		})
	}
}

func TestTerminalHTMLOfPieces(t *testing.T) {
	if got, want := htmlOf("\x1b[3", "1mre", "d", "\x1b", "[0mb\r", "\n"), `<span class="f1">re</span><span class="f1">d</span>b`+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzTerminalHTML(f *testing.F) {
	f.Add([]byte("\x1b[1;38;5;200mx\x1b]0;t\x07<script>&amp;"), 3)
	f.Add([]byte("\x1b[\x1b]\x1b\\\xc2\x9b31m"), 1)
	f.Add([]byte("bell \a, back \b\b, del \x7f\r"), 9)
	f.Fuzz(func(t *testing.T, output []byte, split int) {
		cut := min(max(split, 0), len(output))
		tokenizer := html.NewTokenizer(strings.NewReader(htmlOf(string(output[:cut]), string(output[cut:]))))
		depth := 0
		for {
			switch tokenizer.Next() {
			case html.ErrorToken:
				if tokenizer.Err() != io.EOF || depth != 0 {
					t.Fatalf("the HTML ends with %d open spans: %v", depth, tokenizer.Err())
				}
				return
			case html.StartTagToken:
				name, _ := tokenizer.TagName()
				if depth++; string(name) != "span" || depth > 1 {
					t.Fatalf("there is a %s in it, %d deep", name, depth)
				}
			case html.EndTagToken:
				depth--
			case html.TextToken:
				if i := bytes.IndexFunc(tokenizer.Text(), func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 }); i >= 0 {
					t.Fatal("there is a control character in the text")
				}
			default:
				t.Fatal("there is something in it that is neither text nor a span")
			}
		}
	})
}
