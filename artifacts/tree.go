package artifacts

import (
	"encoding/binary"
	"hash/fnv"
	"slices"
)

// The first byte of a tree object is the version of the format, the second its form.
const (
	treeVersion = 1

	formEntries = 0 // a directory, or a part of a large one
	formParts   = 1 // the parts of a large directory, in order
)

// A directory whose entries take more than splitAbove bytes is kept in parts.
// A part ends behind an entry whose name's hash has splitBits zero bits once the
// part has splitMin bytes, and behind any once it has splitMax.
const (
	splitAbove = 128 << 10
	splitMin   = 32 << 10
	splitMax   = 256 << 10
	splitMask  = 1<<9 - 1
)

// TreeObject is a tree object as it travels: its canonical bytes, which its
// digest is of, and the modification times of its entries beside them.
type TreeObject struct {
	Digest    Digest
	Canonical []byte
	// Times holds 8 bytes an entry, little endian; it is empty for one in parts.
	Times []byte
}

// Record gives the object as a pack carries it.
func (o *TreeObject) Record() []byte {
	record := binary.AppendUvarint(make([]byte, 0, len(o.Canonical)+len(o.Times)+4), uint64(len(o.Canonical)))
	record = append(record, o.Canonical...)
	return append(record, o.Times...)
}

// Entries gives how many entries the object has; 0 for one in parts.
func (o *TreeObject) Entries() int { return len(o.Times) / 8 }

// ParseTreeRecord takes a record apart. The object shares the record's memory;
// its canonical bytes are not looked at yet.
func ParseTreeRecord(record []byte) (TreeObject, error) {
	length, n := binary.Uvarint(record)
	if n <= 0 || length > uint64(len(record)-n) {
		return TreeObject{}, badFormat("tree", "the record is cut")
	}
	canonical := record[n : n+int(length)]
	return TreeObject{Digest: Sum(canonical), Canonical: canonical, Times: record[n+int(length):]}, nil
}

// EncodeTree gives the objects of a directory with these entries, which are
// sorted by name and valid. The first object stands for the directory; those
// after it are its parts.
func EncodeTree(entries []Entry) []TreeObject {
	parts := splitEntries(entries)
	objects := make([]TreeObject, 0, 1+len(parts))
	if len(parts) == 1 {
		return append(objects, encodeEntries(entries))
	}
	top := binary.AppendUvarint([]byte{treeVersion, formParts}, uint64(len(parts)))
	objects = append(objects, TreeObject{})
	for _, part := range parts {
		object := encodeEntries(part)
		top = append(top, object.Digest[:]...)
		objects = append(objects, object)
	}
	objects[0] = TreeObject{Digest: Sum(top), Canonical: top}
	return objects
}

func encodeEntries(entries []Entry) TreeObject {
	canonical := binary.AppendUvarint([]byte{treeVersion, formEntries}, uint64(len(entries)))
	times := make([]byte, 0, 8*len(entries))
	for i := range entries {
		canonical = appendEntry(canonical, &entries[i])
		times = binary.LittleEndian.AppendUint64(times, uint64(entries[i].ModTime))
	}
	return TreeObject{Digest: Sum(canonical), Canonical: canonical, Times: times}
}

// An entry's first byte is its type, with linkFlag set for a file that is a hard link.
const linkFlag = 0x80

func appendEntry(b []byte, e *Entry) []byte {
	kind := byte(e.Type)
	if e.Link != "" {
		kind |= linkFlag
	}
	b = append(b, kind)
	b = appendString(b, e.Name)
	switch e.Type {
	case TypeFile:
		b = binary.AppendUvarint(b, uint64(e.Mode))
		b = binary.AppendUvarint(b, uint64(e.Size))
		if e.Size > 0 {
			b = append(b, e.Content.Digest[:]...)
		}
		if e.Link != "" {
			b = appendString(b, e.Link)
		}
	case TypeDirectory:
		b = binary.AppendUvarint(b, uint64(e.Mode))
		b = binary.AppendUvarint(b, uint64(e.Size))
		b = binary.AppendUvarint(b, uint64(e.Files))
		b = append(b, e.Content.Digest[:]...)
	case TypeSymlink:
		b = appendString(b, e.Target)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// splitEntries cuts entries where the parts of their directory end.
func splitEntries(entries []Entry) [][]Entry {
	total := 0
	var scratch []byte
	sizes := make([]int, len(entries))
	for i := range entries {
		scratch = appendEntry(scratch[:0], &entries[i])
		sizes[i] = len(scratch)
		total += len(scratch)
	}
	if total <= splitAbove {
		return [][]Entry{entries}
	}
	var parts [][]Entry
	start, size := 0, 0
	for i := range entries {
		size += sizes[i]
		if endsPart(entries[i].Name, size) && i+1 < len(entries) {
			parts = append(parts, entries[start:i+1])
			start, size = i+1, 0
		}
	}
	return append(parts, entries[start:])
}

func endsPart(name string, size int) bool {
	if size < splitMin {
		return false
	}
	if size >= splitMax {
		return true
	}
	h := fnv.New64a()
	h.Write([]byte(name))
	return h.Sum64()&splitMask == 0
}

// Directory is a tree object that was decoded. One of its fields is set, or
// neither, for an empty directory.
type Directory struct {
	Entries []Entry  // sorted by name
	Parts   []Digest // trees with Entries, to be read one behind the other
}

// DecodeTree reads an object's canonical bytes and times. What it gives is valid
// by itself; whether what it names exists, and its totals are true, it cannot
// know. Times that do not fit are a *FormatError as well.
func DecodeTree(object TreeObject) (Directory, error) {
	d := decoder{rest: object.Canonical}
	version, form := d.byte(), d.byte()
	if d.failed || version != treeVersion {
		return Directory{}, badFormat("tree", "version %d is not known", version)
	}
	count := d.length()
	var directory Directory
	var err error
	switch form {
	case formEntries:
		directory.Entries, err = d.entries(count)
	case formParts:
		directory.Parts, err = d.parts(count)
	default:
		return Directory{}, badFormat("tree", "form %d is not known", form)
	}
	if err != nil {
		return Directory{}, err
	}
	if d.failed || len(d.rest) > 0 {
		return Directory{}, badFormat("tree", "it is cut, or has more behind its end")
	}
	if len(object.Times) != 8*len(directory.Entries) {
		return Directory{}, badFormat("tree", "%d bytes of times for %d entries", len(object.Times), len(directory.Entries))
	}
	for i := range directory.Entries {
		directory.Entries[i].ModTime = int64(binary.LittleEndian.Uint64(object.Times[8*i:]))
	}
	return directory, nil
}

// CheckParts tells whether parts, the entries of a directory's parts in order,
// are cut and sorted as EncodeTree does it. A directory in other parts would
// have two digests.
func CheckParts(parts [][]Entry) error {
	entries := slices.Concat(parts...)
	for i := 1; i < len(entries); i++ {
		if entries[i-1].Name >= entries[i].Name {
			return badFormat("tree", "%q is not behind %q", entries[i].Name, entries[i-1].Name)
		}
	}
	want := splitEntries(entries)
	if len(want) != len(parts) {
		return badFormat("tree", "%d parts where %d are due", len(parts), len(want))
	}
	for i := range want {
		if len(want[i]) != len(parts[i]) {
			return badFormat("tree", "part %d is cut elsewhere", i)
		}
	}
	return nil
}

// minEntry is the least an entry takes: type, name, and a symlink's target.
const minEntry = 5

func (d *decoder) entries(count int) ([]Entry, error) {
	if d.failed || count > len(d.rest)/minEntry {
		return nil, badFormat("tree", "it is cut")
	}
	entries := make([]Entry, count)
	for i := range entries {
		e := &entries[i]
		d.entry(e)
		if d.failed {
			return nil, badFormat("tree", "entry %d is cut", i)
		}
		if err := e.check(); err != nil {
			return nil, err
		}
		if i > 0 && entries[i-1].Name >= e.Name {
			return nil, badFormat("tree", "%q is not behind %q", e.Name, entries[i-1].Name)
		}
	}
	return entries, nil
}

func (d *decoder) entry(e *Entry) {
	kind := d.byte()
	e.Type = Type(kind &^ linkFlag)
	linked := kind&linkFlag != 0
	e.Name = d.string()
	switch e.Type {
	case TypeFile:
		e.Mode = d.mode()
		e.Size = d.size()
		if e.Size > 0 {
			e.Content = Key{ContentKind(e.Size), d.digest()}
		}
		if linked {
			e.Link = d.string()
			d.failed = d.failed || e.Link == ""
		}
		return
	case TypeDirectory:
		e.Mode = d.mode()
		e.Size = d.size()
		e.Files = d.size()
		e.Content = Key{KindTree, d.digest()}
	case TypeSymlink:
		e.Target = d.string()
	}
	d.failed = d.failed || linked
}

func (d *decoder) parts(count int) ([]Digest, error) {
	if d.failed || count < 2 || len(d.rest) != count*DigestSize {
		return nil, badFormat("tree", "%d parts in %d bytes", count, len(d.rest))
	}
	parts := make([]Digest, count)
	for i := range parts {
		parts[i] = d.digest()
	}
	return parts, nil
}
