package artifacts

import (
	"strings"
)

// Type is what a directory entry is.
type Type uint8

const (
	TypeFile      Type = 1
	TypeDirectory Type = 2
	TypeSymlink   Type = 3
)

func (t Type) String() string {
	switch t {
	case TypeFile:
		return "file"
	case TypeDirectory:
		return "directory"
	case TypeSymlink:
		return "symlink"
	}
	return "unknown type"
}

// Bounds of what a tree can hold. They are those of Linux.
const (
	MaxName   = 255  // bytes of a name
	MaxPath   = 4096 // bytes of a path below the top, or of a symlink's target
	ModeMask  = 0o7777
	maxTotals = 1 << 62
)

// MaxNames is how many names there may be in all of a tree that is made into a directory:
// a few objects that name each other often enough would else fill any disk.
const MaxNames = 1 << 22

// Entry is one name in a directory.
type Entry struct {
	Name string // any bytes but '/' and NUL; not "", "." or ".."
	Type Type
	Mode uint16 // permission, setuid, setgid and sticky bits; 0 for a symlink

	// Size is a file's length in bytes; for a directory the sum of Size of all
	// files below it, each hard link group counted once.
	Size int64
	// Files is, for a directory, how many entries below it are no directories.
	Files int64

	// Content names a file's bytes: KindContent up to MaxContent bytes, KindList
	// above. It is zero for an empty file. For a directory it is KindTree.
	Content Key

	// Target is where a symlink points, as it stands there.
	Target string

	// Link makes a file another name of the file at that path, relative to the top
	// of the tree, slashes between: the first of the group in the order of the
	// tree. Everything else of the entry is as in that file's. "" for the first
	// name and for a file with one name. In a tree where the first name is missing
	// or differs the entry is a file of its own.
	Link string

	// ModTime is in nanoseconds since 1970, 0 when it is not known. It is carried
	// beside the directory and is no part of its digest.
	ModTime int64
}

// bytesOnce is what the entry adds to its directory's Size.
func (e *Entry) bytesOnce() int64 {
	if e.Link != "" || e.Type == TypeSymlink {
		return 0
	}
	return e.Size
}

// files is what the entry adds to its directory's Files.
func (e *Entry) files() int64 {
	if e.Type == TypeDirectory {
		return e.Files
	}
	return 1
}

// Totals gives the Size and Files of a directory with these entries.
func Totals(entries []Entry) (size, files int64) {
	for i := range entries {
		size += entries[i].bytesOnce()
		files += entries[i].files()
	}
	return size, files
}

// ValidName reports whether name can be a directory entry's.
func ValidName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= MaxName &&
		!strings.ContainsAny(name, "/\x00")
}

// ValidPath reports whether path is one or more valid names with slashes between.
func ValidPath(path string) bool {
	if len(path) > MaxPath {
		return false
	}
	for name := range strings.SplitSeq(path, "/") {
		if !ValidName(name) {
			return false
		}
	}
	return true
}

// ComparePaths orders paths as a walk of the tree meets them: names are compared
// byte by byte, a directory coming before what is in it.
func ComparePaths(a, b string) int {
	for {
		x, restA, moreA := strings.Cut(a, "/")
		y, restB, moreB := strings.Cut(b, "/")
		if c := strings.Compare(x, y); c != 0 {
			return c
		}
		switch {
		case !moreA && !moreB:
			return 0
		case !moreA:
			return -1
		case !moreB:
			return 1
		}
		a, b = restA, restB
	}
}

// check tells what is wrong with an entry by itself, nil when nothing is.
func (e *Entry) check() error {
	if !ValidName(e.Name) {
		return badFormat("tree", "%q cannot be a name", e.Name)
	}
	if e.Mode&^ModeMask != 0 {
		return badFormat("tree", "%q has the mode %#o", e.Name, e.Mode)
	}
	if e.Size < 0 || e.Size > maxTotals || e.Files < 0 || e.Files > maxTotals {
		return badFormat("tree", "%q has a size out of range", e.Name)
	}
	switch e.Type {
	case TypeFile:
		return e.checkFile()
	case TypeDirectory:
		if e.Content.Kind != KindTree || e.Content.Digest.IsZero() || e.Target != "" || e.Link != "" {
			return badFormat("tree", "directory %q names no tree", e.Name)
		}
	case TypeSymlink:
		if e.Target == "" || len(e.Target) >= MaxPath || strings.Contains(e.Target, "\x00") {
			return badFormat("tree", "symlink %q has an impossible target", e.Name)
		}
		if e.Mode != 0 || e.Size != 0 || e.Files != 0 || e.Content != (Key{}) || e.Link != "" {
			return badFormat("tree", "symlink %q has more than a target", e.Name)
		}
	default:
		return badFormat("tree", "%q is of the unknown type %d", e.Name, e.Type)
	}
	return nil
}

func (e *Entry) checkFile() error {
	want := ContentKind(e.Size)
	switch {
	case e.Files != 0 || e.Target != "":
		return badFormat("tree", "file %q has what only others have", e.Name)
	case e.Content.Kind != want, (want == 0) != e.Content.Digest.IsZero():
		return badFormat("tree", "file %q of %d bytes names a %v", e.Name, e.Size, e.Content.Kind)
	case e.Link != "" && !ValidPath(e.Link):
		return badFormat("tree", "file %q is linked to the impossible path %q", e.Name, e.Link)
	}
	return nil
}

// ContentKind gives the kind of object that a file of size bytes is kept as; 0 for an empty one.
func ContentKind(size int64) Kind {
	switch {
	case size == 0:
		return 0
	case size <= MaxContent:
		return KindContent
	}
	return KindList
}

// SameFile reports whether a and b say the same of a file, names and times left out.
func SameFile(a, b *Entry) bool {
	return a.Type == b.Type && a.Mode == b.Mode && a.Size == b.Size && a.Content == b.Content
}

// CompareNames orders entries as a tree holds them.
func CompareNames(a, b Entry) int { return strings.Compare(a.Name, b.Name) }
