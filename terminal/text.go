// Package terminal makes text from elsewhere safe to show: names, messages and
// other answers of servers and archives, which could otherwise move the cursor,
// change titles or hide what follows, or to type, where it could be another command. A
// task's own output is not for it.
//
// It knows nothing of where the text comes from.
package terminal

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line gives text on one line: escape sequences and control characters are left
// out, line breaks and tabs become single spaces. What is no UTF-8 becomes U+FFFD.
func Line(text string) string {
	if isPlain(text) {
		return text
	}
	text = strings.TrimRight(Text(text), "\n")
	return strings.NewReplacer("\n", " ", "\t", " ").Replace(text)
}

// Text gives text without escape sequences and control characters other than line
// feeds and tabs. What is no UTF-8 becomes U+FFFD.
func Text(text string) string {
	if isPlain(text) {
		return text
	}
	var b strings.Builder
	b.Grow(len(text))
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		if n := escapeLength(text, r); n > 0 {
			text = text[n:]
			continue
		}
		text = text[size:]
		if r == '\n' || r == '\t' || isShown(r) {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// isPlain tells whether text has nothing to leave out; most has not.
func isPlain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// isShown tells whether a character shows as itself, or joins with its neighbours
// to what does, and changes nothing else.
func isShown(r rune) bool {
	switch {
	case unicode.IsControl(r):
		return false
	case r == '\u061C', r == '\u200E', r == '\u200F', r >= '\u202A' && r <= '\u202E', r >= '\u2066' && r <= '\u2069':
		// They reorder what is around them.
		return false
	case r == '\u2028', r == '\u2029', r == '\uFEFF':
		return false
	}
	return true
}

// escapeLength gives the length of the escape sequence that text begins with, r
// being its first character; 0 when it begins with none. One that does not end
// goes as far as what can be part of it.
func escapeLength(text string, r rune) int {
	var introducer byte
	switch r {
	case '\x1b':
		if len(text) == 1 {
			return 1
		}
		introducer = text[1]
	case '\u0090', '\u0098', '\u009B', '\u009D', '\u009E', '\u009F':
		// The same in one character, of the upper control set; UTF-8 has it in two bytes too.
		introducer = byte(r) - 0x40
	default:
		return 0
	}
	rest := text[2:]
	switch introducer {
	case '[':
		return 2 + controlLength(rest)
	case ']', 'P', 'X', '^', '_':
		return 2 + stringLength(rest)
	}
	return 1 + plainLength(text[1:])
}

// controlLength gives the length of a control sequence after its introducer:
// parameters, intermediates, and the character that ends it.
func controlLength(text string) int {
	for i := range len(text) {
		switch c := text[i]; {
		case c >= 0x40 && c <= 0x7e:
			return i + 1
		case c < 0x20 || c > 0x3f:
			return i
		}
	}
	return len(text)
}

// stringLength gives the length of a control string after its introducer, up to
// BEL, the string terminator or the end of the line.
func stringLength(text string) int {
	for i := range len(text) {
		switch {
		case text[i] == '\a':
			return i + 1
		case strings.HasPrefix(text[i:], "\x1b\\"), strings.HasPrefix(text[i:], "\u009c"):
			return i + 2
		case text[i] == '\n' || text[i] == '\x1b':
			return i
		}
	}
	return len(text)
}

// plainLength gives the length of an escape sequence of the simplest form after
// ESC: intermediates, and the character that ends it.
func plainLength(text string) int {
	for i := range len(text) {
		switch c := text[i]; {
		case c >= 0x30 && c <= 0x7e:
			return i + 1
		case c < 0x20 || c > 0x2f:
			return i
		}
	}
	return len(text)
}
