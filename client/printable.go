package client

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxPrintable bounds what a message quotes of a server, in bytes.
const maxPrintable = 1000

// printable makes one line of a text that came from elsewhere, without anything that
// a terminal would obey.
func printable(text string) string {
	if len(text) > maxPrintable {
		text = strings.ToValidUTF8(text[:maxPrintable], "") + "..."
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return ' '
		case r == '\r':
			return -1
		case r == utf8.RuneError, !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, text)
}
