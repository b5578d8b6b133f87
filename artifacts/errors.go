package artifacts

import "fmt"

// FormatError tells that bytes are not what the format allows: they were damaged
// on the way, or made by something that is not midge.
type FormatError struct {
	What   string // tree, list, pack, answer
	Reason string
}

func (e *FormatError) Error() string { return e.What + ": " + e.Reason }

func badFormat(what, format string, args ...any) error {
	return &FormatError{What: what, Reason: fmt.Sprintf(format, args...)}
}

// DigestError tells that an object's bytes do not have the digest they came under.
type DigestError struct {
	Key  Key
	Have Digest
}

func (e *DigestError) Error() string {
	return fmt.Sprintf("%v has the digest %v instead", e.Key, e.Have)
}
