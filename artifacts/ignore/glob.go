package ignore

import "strings"

// glob is a pattern for one name.
type glob []token

type tokenKind uint8

const (
	literal tokenKind = iota // text
	one                      // any byte
	star                     // any bytes
	class                    // one byte of a set
)

type token struct {
	kind tokenKind
	text string
	set  *[256]bool
}

// parseGlobs takes a pattern apart at its slashes, but those in brackets. A
// component of nothing but two or more stars is nil. malformed tells of a bracket
// that is not closed or a backslash at the end.
func parseGlobs(s string) (globs []glob, malformed bool) {
	current, stars := glob{}, 0
	finish := func() {
		if stars >= 2 && len(current) == 1 {
			globs = append(globs, nil)
		} else {
			globs = append(globs, current)
		}
		current, stars = glob{}, 0
	}
	for i := 0; i < len(s); {
		switch s[i] {
		case '/':
			finish()
			i++
		case '*':
			stars++
			i++
			if n := len(current); n == 0 || current[n-1].kind != star {
				current = append(current, token{kind: star})
			}
		case '?':
			current = append(current, token{kind: one})
			i++
		case '[':
			set, length := parseClass(s[i:])
			if length == 0 {
				return nil, true
			}
			current = append(current, token{kind: class, set: set})
			i += length
		case '\\':
			if i+1 == len(s) {
				return nil, true
			}
			if s[i+1] == '/' {
				i++
				continue
			}
			current = current.literal(s[i+1])
			i += 2
		default:
			current = current.literal(s[i])
			i++
		}
	}
	finish()
	return globs, false
}

func (g glob) literal(b byte) glob {
	if n := len(g); n > 0 && g[n-1].kind == literal {
		g[n-1].text += string([]byte{b})
		return g
	}
	return append(g, token{kind: literal, text: string([]byte{b})})
}

// matches reports whether the glob matches all of name.
func (g glob) matches(name string) bool {
	// A star that has matched too little is given one byte more; only the last
	// needs to be, since what is before it has matched already.
	retry, retryName := -1, ""
	i := 0
	for {
		if i < len(g) && g[i].kind == star {
			if i == len(g)-1 {
				return true
			}
			i++
			retry, retryName = i, name
			continue
		}
		if i == len(g) && name == "" {
			return true
		}
		if i < len(g) {
			if rest, ok := g[i].take(name); ok {
				name = rest
				i++
				continue
			}
		}
		if retry < 0 || retryName == "" {
			return false
		}
		retryName = retryName[1:]
		i, name = retry, retryName
	}
}

// take matches a token that is no star with the front of name.
func (t *token) take(name string) (rest string, ok bool) {
	if t.kind == literal {
		return strings.CutPrefix(name, t.text)
	}
	if name == "" || t.kind == class && !t.set[name[0]] {
		return name, false
	}
	return name[1:], true
}

// parseClass reads a bracket expression and gives its length, 0 if it is not closed.
func parseClass(s string) (*[256]bool, int) {
	set := new([256]bool)
	i := 1
	negated := i < len(s) && (s[i] == '!' || s[i] == '^')
	if negated {
		i++
	}
	for first := true; ; first = false {
		if i >= len(s) {
			return nil, 0
		}
		if s[i] == ']' && !first {
			break
		}
		if strings.HasPrefix(s[i:], "[:") {
			end := strings.IndexByte(s[i+2:], ']')
			if end < 0 {
				return nil, 0
			}
			if name, ok := strings.CutSuffix(s[i+2:i+2+end], ":"); ok {
				if !addNamed(set, name) {
					return nil, 0
				}
				i += end + 3
				continue
			}
		}
		low, length := classByte(s[i:])
		if length == 0 {
			return nil, 0
		}
		i += length
		set[low] = true
		high := low
		if i+1 < len(s) && s[i] == '-' && s[i+1] != ']' {
			if high, length = classByte(s[i+1:]); length == 0 {
				return nil, 0
			}
			i += 1 + length
		}
		for b := int(low); b <= int(high); b++ {
			set[b] = true
		}
	}
	if negated {
		for b := range set {
			set[b] = !set[b]
		}
	}
	set['/'] = false
	return set, i + 1
}

// classByte reads a byte, or a backslash and a byte.
func classByte(s string) (b byte, length int) {
	if s[0] != '\\' {
		return s[0], 1
	}
	if len(s) < 2 {
		return 0, 0
	}
	return s[1], 2
}

// addNamed adds the bytes of a named class of POSIX.
func addNamed(set *[256]bool, name string) bool {
	in, ok := namedClasses[name]
	if !ok {
		return false
	}
	for b := range 128 {
		if in(byte(b)) {
			set[b] = true
		}
	}
	return true
}

var namedClasses = map[string]func(byte) bool{
	"alnum":  func(b byte) bool { return isAlpha(b) || isDigit(b) },
	"alpha":  isAlpha,
	"blank":  func(b byte) bool { return b == ' ' || b == '\t' },
	"cntrl":  func(b byte) bool { return b < ' ' || b == 127 },
	"digit":  isDigit,
	"graph":  isGraph,
	"lower":  func(b byte) bool { return 'a' <= b && b <= 'z' },
	"print":  func(b byte) bool { return b == ' ' || isGraph(b) },
	"punct":  func(b byte) bool { return isGraph(b) && !isAlpha(b) && !isDigit(b) },
	"space":  func(b byte) bool { return b == ' ' || '\t' <= b && b <= '\r' },
	"upper":  func(b byte) bool { return 'A' <= b && b <= 'Z' },
	"xdigit": func(b byte) bool { return isDigit(b) || 'a' <= b|0x20 && b|0x20 <= 'f' },
}

func isAlpha(b byte) bool { return 'a' <= b|0x20 && b|0x20 <= 'z' }
func isDigit(b byte) bool { return '0' <= b && b <= '9' }
func isGraph(b byte) bool { return '!' <= b && b <= '~' }
