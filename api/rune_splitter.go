package api

import "unicode/utf8"

// RuneSplitter cuts a stream of output into pieces that end between characters,
// so that each can be the text of an event. It holds back at most three bytes. The
// zero value is at the beginning of a stream.
type RuneSplitter struct {
	held  [utf8.UTFMax - 1]byte
	count int
}

// Held says how many bytes are held back.
func (s *RuneSplitter) Held() int { return s.count }

// Split takes the next chunk of the stream and gives what is to be passed on: what
// was held back and the chunk, but for a character at its end whose last bytes
// are still to come. Bytes that begin no character are passed on as they are.
// What it gives is chunk itself, or a copy when something was held back; chunk is
// not kept.
func (s *RuneSplitter) Split(chunk []byte) []byte {
	piece := chunk
	if s.count > 0 {
		piece = append(s.held[:s.count:s.count], chunk...)
	}
	whole := len(piece) - incomplete(piece)
	s.count = copy(s.held[:], piece[whole:])
	return piece[:whole]
}

// Flush gives what is held back, at the end of the stream.
func (s *RuneSplitter) Flush() []byte {
	piece := append([]byte(nil), s.held[:s.count]...)
	s.count = 0
	return piece
}

// incomplete counts the bytes at the end that begin a character without ending it.
func incomplete(p []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(p); n++ {
		if !utf8.RuneStart(p[len(p)-n]) {
			continue
		}
		if utf8.FullRune(p[len(p)-n:]) {
			return 0
		}
		return n
	}
	return 0
}
