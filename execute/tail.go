package execute

import (
	"bytes"
	"strings"
)

// How much is kept of the end of a task's output.
const (
	tailLines = 20
	tailBytes = 16 << 10
)

// tail keeps the end of what a task wrote, to both of its streams.
type tail struct{ kept []byte }

// add takes in what was written next.
func (t *tail) add(output []byte) {
	if len(output) >= tailBytes {
		t.kept = t.kept[:0]
		output = output[len(output)-tailBytes:]
	}
	t.kept = append(t.kept, output...)
	if over := len(t.kept) - tailBytes; over > tailBytes {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
}

// lines gives the last lines, without their ends, as text.
func (t *tail) lines() []string {
	kept := bytes.TrimRight(t.kept[max(0, len(t.kept)-tailBytes):], "\r\n")
	if len(kept) == 0 {
		return nil
	}
	all := strings.Split(strings.ToValidUTF8(string(kept), "\uFFFD"), "\n")
	all = all[max(0, len(all)-tailLines):]
	for i, line := range all {
		all[i] = strings.TrimRight(line, "\r")
	}
	return all
}
