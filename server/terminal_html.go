package server

import (
	"bytes"
	"html/template"
	"strconv"
	"strings"
	"unicode/utf8"
)

// terminalHTML turns what a task writes to its terminal into HTML: colours and the
// like become spans with classes, all other control sequences are left out, and
// everything else is text. A sequence may be spread over several pieces of output.
// The HTML of each piece stands by itself.
type terminalHTML struct {
	plain  bool // colours and the like are left out too
	style  textStyle
	state  sequenceState
	params []byte // of the control sequence that is read
	// returned tells that the last byte was a carriage return.
	returned bool

	html *bytes.Buffer
	run  []byte // text in style that is not in html yet
}

// maxParams bounds the parameters of a control sequence, in bytes; a longer one is
// left out.
const maxParams = 64

// sequenceState is which part of a control sequence is read.
type sequenceState int

const (
	inText     sequenceState = iota
	inEscape                 // after ESC
	inControl                // after ESC [
	inString                 // a title, a link and the like, up to BEL or ESC \
	inTooMuch                // after ESC [, with more than maxParams
	escapeByte = 0x1b
)

// write appends the HTML of a piece of output.
func (t *terminalHTML) write(html *bytes.Buffer, output []byte) {
	t.html = html
	for _, b := range output {
		switch t.state {
		case inText:
			t.text(b)
		case inEscape:
			t.escape(b)
		case inControl, inTooMuch:
			t.control(b)
		case inString:
			t.string(b)
		}
	}
	t.flush()
}

func (t *terminalHTML) text(b byte) {
	if t.returned {
		t.returned = false
		if b != '\n' {
			// What would be written over stays, as a line of its own.
			t.run = append(t.run, '\n')
		}
	}
	switch {
	case b == escapeByte:
		t.state = inEscape
	case b == '\r':
		t.returned = true
	case b == '\n' || b == '\t' || b >= ' ' && b != 0x7f:
		t.run = append(t.run, b)
	}
}

func (t *terminalHTML) escape(b byte) {
	switch {
	case b == '[':
		t.state, t.params = inControl, t.params[:0]
	case strings.IndexByte("]PX^_", b) >= 0:
		t.state = inString
	case b == escapeByte, b >= 0x20 && b <= 0x2f: // more of it follows
	default:
		t.state = inText
	}
}

func (t *terminalHTML) control(b byte) {
	switch {
	case b == escapeByte:
		t.state = inEscape
	case b >= 0x20 && b <= 0x3f:
		if len(t.params) == maxParams {
			t.state = inTooMuch
			return
		}
		t.params = append(t.params, b)
	default:
		if b == 'm' && t.state == inControl && !t.plain {
			t.flush()
			t.style.set(string(t.params))
		}
		t.state = inText
		if b == '\n' {
			t.text(b)
		}
	}
}

// string leaves out a string. It ends at the line's end too, so that one that has no
// end does not hide the rest of the log.
func (t *terminalHTML) string(b byte) {
	switch b {
	case escapeByte:
		t.state = inEscape
	case 0x07:
		t.state = inText
	case '\n':
		t.state = inText
		t.text(b)
	}
}

// flush writes the text that there is.
func (t *terminalHTML) flush() {
	if len(t.run) == 0 {
		return
	}
	classes := t.style.classes()
	if classes != "" {
		t.html.WriteString(`<span class="` + classes + `">`)
	}
	writeText(t.html, string(t.run))
	if classes != "" {
		t.html.WriteString(`</span>`)
	}
	t.run = t.run[:0]
}

// writeText writes text, without the control characters beyond ASCII.
func writeText(html *bytes.Buffer, text string) {
	text = strings.Map(func(r rune) rune {
		if r >= 0x80 && r < 0xa0 {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, string(utf8.RuneError)))
	template.HTMLEscape(html, []byte(text))
}

// textStyle is how text looks. A colour is 1 more than its number of 16, 0 the default.
type textStyle struct {
	bold, dim, italic, underline, struck, inverse bool
	foreground, background                        int
}

// classes are those of a span in this style, "" for none.
func (s textStyle) classes() string {
	var classes []string
	for _, flag := range []struct {
		set   bool
		class string
	}{{s.bold, "b"}, {s.dim, "d"}, {s.italic, "i"}, {s.underline, "u"}, {s.struck, "s"}, {s.inverse, "v"}} {
		if flag.set {
			classes = append(classes, flag.class)
		}
	}
	if s.foreground > 0 {
		classes = append(classes, "f"+strconv.Itoa(s.foreground-1))
	}
	if s.background > 0 {
		classes = append(classes, "g"+strconv.Itoa(s.background-1))
	}
	return strings.Join(classes, " ")
}

// set changes the style as the parameters of a control sequence say that ends in m.
func (s *textStyle) set(params string) {
	var codes []int
	for code := range strings.SplitSeq(strings.ReplaceAll(params, ":", ";"), ";") {
		n, err := strconv.Atoi(code)
		if err != nil && code != "" {
			return // one of some terminal's own
		}
		codes = append(codes, n)
	}
	for len(codes) > 0 {
		codes = s.apply(codes)
	}
}

// apply applies the first code and gives those that are left.
func (s *textStyle) apply(codes []int) []int {
	code, rest := codes[0], codes[1:]
	switch {
	case code == 0:
		*s = textStyle{}
	case code == 1:
		s.bold = true
	case code == 2:
		s.dim = true
	case code == 3:
		s.italic = true
	case code == 4:
		s.underline = true
	case code == 7:
		s.inverse = true
	case code == 9:
		s.struck = true
	case code == 22:
		s.bold, s.dim = false, false
	case code == 23:
		s.italic = false
	case code == 24:
		s.underline = false
	case code == 27:
		s.inverse = false
	case code == 29:
		s.struck = false
	case code >= 30 && code <= 37:
		s.foreground = code - 30 + 1
	case code == 38:
		s.foreground, rest = extendedColour(rest)
	case code == 39:
		s.foreground = 0
	case code >= 40 && code <= 47:
		s.background = code - 40 + 1
	case code == 48:
		s.background, rest = extendedColour(rest)
	case code == 49:
		s.background = 0
	case code >= 90 && code <= 97:
		s.foreground = code - 90 + 8 + 1
	case code >= 100 && code <= 107:
		s.background = code - 100 + 8 + 1
	}
	return rest
}

// extendedColour gives that of the 16 colours which is most like the one of 256, or
// of red, green and blue, that codes begin with, and the codes that are left.
func extendedColour(codes []int) (colour int, rest []int) {
	switch {
	case len(codes) >= 2 && codes[0] == 5:
		return colourOf256(codes[1]), codes[2:]
	case len(codes) >= 4 && codes[0] == 2:
		return nearestColour(codes[1], codes[2], codes[3]), codes[4:]
	}
	return 0, nil
}

// colourOf256 is that of the palette of 256: 16 of their own, a cube, and greys.
func colourOf256(n int) int {
	switch {
	case n < 0 || n > 255:
		return 0
	case n < 16:
		return n + 1
	case n >= 232:
		grey := (n-232)*10 + 8
		return nearestColour(grey, grey, grey)
	}
	n -= 16
	level := func(n int) int { return n * 255 / 5 }
	return nearestColour(level(n/36), level(n/6%6), level(n%6))
}

// nearestColour is the one that has the same of red, green and blue in it, and is
// as bright.
func nearestColour(red, green, blue int) int {
	brightest := max(red, green, blue)
	darkest := min(red, green, blue)
	if brightest-darkest < 32 { // a grey
		return [...]int{0, 8, 7, 15}[min(max(brightest, 0), 255)/64] + 1
	}
	colour, half := 0, (brightest+darkest)/2
	for bit, part := range []int{red, green, blue} {
		if part > half {
			colour |= 1 << bit
		}
	}
	if brightest > 192 {
		colour += 8
	}
	return colour + 1
}
