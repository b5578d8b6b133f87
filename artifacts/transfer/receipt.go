package transfer

import (
	"cmp"
	"path"
	"path/filepath"
	"slices"

	"midge/artifacts/scan"
)

// Progress is told how a transfer goes on. Its methods are called from many
// goroutines at once and must not wait.
type Progress interface {
	// Scanned tells that more files have been looked at.
	Scanned(files, bytes int64)
	// Total tells how many bytes of content are to be moved, before compression.
	Total(bytes int64)
	// Moved tells that more of them have arrived.
	Moved(bytes int64)
}

// Receipt says what a Send has done. Bytes are before compression unless they say otherwise.
type Receipt struct {
	Digest string `json:"digest"`
	// Files and Bytes are the tree's.
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"`
	// SentFiles counts the files of which some content was sent, SentBytes that content.
	SentFiles int64 `json:"sent_files"`
	SentBytes int64 `json:"sent_bytes"`
	// SentCompressed is what went over the wire, names of files included.
	SentCompressed int64 `json:"sent_compressed"`
	// DeduplicatedBytes is what the server had, or was in the tree twice.
	DeduplicatedBytes int64 `json:"deduplicated_bytes"`
	// ReadFiles counts the files whose digest no cache knew.
	ReadFiles int64 `json:"read_files"`
	// Requests counts the round trips.
	Requests int64 `json:"requests"`
	// IgnoredBy counts the paths that were left out, for each source of a rule.
	IgnoredBy []IgnoredBy `json:"ignored_by,omitempty"`
	// Ignored names them.
	Ignored []IgnoredPath `json:"ignored,omitempty"`
	// Largest are the paths of which most is sent, the largest first.
	Largest []PathSize `json:"largest,omitempty"`
}

// IgnoredBy counts the paths that one ignore file, or several of the same name, leave out.
type IgnoredBy struct {
	Source string `json:"source"`
	Paths  int    `json:"paths"`
}

// IgnoredPath is a path that was left out, with all below it.
type IgnoredPath struct {
	Path string `json:"path"`
	Rule string `json:"rule"`
}

// PathSize is a file and how many bytes of it are sent.
type PathSize struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
}

// largestCount is how many paths are named.
const largestCount = 10

// sourceName gives what files of a source are called: those of one name in many
// directories are one source.
func sourceName(source string) string { return path.Base(filepath.ToSlash(source)) }

// Ignore notes what was left out.
func (r *Receipt) Ignore(ignored []scan.Ignored) {
	counts := make(map[string]int)
	for _, i := range ignored {
		path := i.Path
		if i.Dir {
			path += "/"
		}
		r.Ignored = append(r.Ignored, IgnoredPath{Path: path, Rule: i.Rule.String()})
		counts[sourceName(i.Rule.Source)]++
	}
	for source, n := range counts {
		r.IgnoredBy = append(r.IgnoredBy, IgnoredBy{source, n})
	}
	slices.SortFunc(r.IgnoredBy, func(a, b IgnoredBy) int {
		return cmp.Or(cmp.Compare(b.Paths, a.Paths), cmp.Compare(a.Source, b.Source))
	})
}
