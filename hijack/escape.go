package hijack

// escape finds, in what is typed, the commands that are for us and not for the
// other end: the escape character at the beginning of a line, and one more.
// The zero value finds none.
type escape struct {
	char byte // 0: none

	midLine bool // what was typed last did not end a line
	held    bool // the character was typed, and waits for the next
}

// escapeCommand is what was asked for.
type escapeCommand int

const (
	escapeNone escapeCommand = iota
	escapeDetach
	escapeHelp
)

// next takes what was typed up to the first command in it, and gives what is for the other end, the
// command, and what was typed after it. Typed is not changed.
func (e *escape) next(typed []byte) (send []byte, command escapeCommand, rest []byte) {
	if e.char == 0 {
		return typed, escapeNone, nil
	}
	for i, c := range typed {
		if !e.held {
			if c == e.char && !e.midLine {
				e.held = true
				continue
			}
			e.midLine = c != '\r' && c != '\n'
			send = append(send, c)
			continue
		}
		e.held = false
		switch c {
		case '.':
			return send, escapeDetach, typed[i+1:]
		case '?':
			return send, escapeHelp, typed[i+1:]
		case e.char:
			send = append(send, e.char)
			e.midLine = true
		default:
			send = append(send, e.char, c)
			e.midLine = c != '\r' && c != '\n'
		}
	}
	return send, escapeNone, nil
}
