package terminal

import (
	"bytes"
	"fmt"
	"io"
)

// JSON gives a writer of JSON documents to w. The characters that JSON lets stand in
// strings as they are and Text leaves out, DEL, the upper control set and those that
// reorder what is around them, it writes as escapes, which mean the same to who reads the
// JSON. Each Write is of whole characters, as json.Encoder's are.
func JSON(w io.Writer) io.Writer { return jsonWriter{w} }

type jsonWriter struct{ w io.Writer }

func (j jsonWriter) Write(document []byte) (int, error) {
	if !bytes.ContainsFunc(document, isJSONControl) {
		return j.w.Write(document)
	}
	var escaped bytes.Buffer
	for _, r := range string(document) {
		if isJSONControl(r) {
			fmt.Fprintf(&escaped, `\u%04x`, r)
		} else {
			escaped.WriteRune(r)
		}
	}
	if _, err := j.w.Write(escaped.Bytes()); err != nil {
		return 0, err
	}
	return len(document), nil
}

func isJSONControl(r rune) bool { return r >= 0x7f && !isShown(r) }
