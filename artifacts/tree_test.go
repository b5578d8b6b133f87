package artifacts

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func sampleEntries() []Entry {
	content := Key{KindContent, Sum([]byte("hello"))}
	return []Entry{
		{Name: "Case", Type: TypeFile, Mode: 0o644, Size: 5, Content: content, ModTime: 1},
		{Name: "case", Type: TypeFile, Mode: 0o4755, Size: 5, Content: content, ModTime: -5},
		{Name: "dir", Type: TypeDirectory, Mode: 0o1777, Size: 7, Files: 2, Content: Key{KindTree, Sum([]byte("dir"))}, ModTime: 2},
		{Name: "empty", Type: TypeFile, Mode: 0o600},
		{Name: "hard", Type: TypeFile, Mode: 0o644, Size: 5, Content: content, Link: "dir/first"},
		{Name: "large", Type: TypeFile, Mode: 0o644, Size: MaxContent + 1, Content: Key{KindList, Sum([]byte("list"))}},
		{Name: "link", Type: TypeSymlink, Target: "../anywhere/\n"},
		{Name: strings.Repeat("n", MaxName), Type: TypeFile, Size: 5, Content: content},
		{Name: "\xff\n", Type: TypeFile, Size: 5, Content: content},
	}
}

func decodeAll(t *testing.T, objects []TreeObject) []Entry {
	t.Helper()
	top, err := DecodeTree(objects[0])
	if err != nil {
		t.Fatal(err)
	}
	if top.Parts == nil {
		return top.Entries
	}
	var parts [][]Entry
	for i, digest := range top.Parts {
		if objects[i+1].Digest != digest {
			t.Fatalf("part %d is %v, not %v", i, objects[i+1].Digest, digest)
		}
		part, err := DecodeTree(objects[i+1])
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, part.Entries)
	}
	if err := CheckParts(parts); err != nil {
		t.Fatal(err)
	}
	return slices.Concat(parts...)
}

func TestTreeRoundTrip(t *testing.T) {
	entries := sampleEntries()
	objects := EncodeTree(entries)
	if got := decodeAll(t, objects); !reflect.DeepEqual(got, entries) {
		t.Errorf("got %+v", got)
	}
	parsed, err := ParseTreeRecord(objects[0].Record())
	if err != nil || parsed.Digest != objects[0].Digest {
		t.Errorf("its record is of %v, %v", parsed.Digest, err)
	}
	size, files := Totals(entries)
	if want := int64(5 + 5 + 7 + MaxContent + 1 + 5 + 5); size != want || files != 10 {
		t.Errorf("%d bytes in %d files", size, files)
	}
}

// TestTreeDigestIsStable holds the format to what was stored by earlier versions.
func TestTreeDigestIsStable(t *testing.T) {
	const want = "ed826c2428eacc7b19de7136bac05ef33e581ee2848904cebc740b87b10d352d"
	if got := EncodeTree(sampleEntries())[0].Digest.String(); got != want {
		t.Errorf("the sample has the digest %s", got)
	}
	const empty = "fb50dc0717ff266cf9baf82b1ce7a1c2ef6d9247859680b11a19fb7077f5f222"
	if got := EncodeTree(nil)[0].Digest.String(); got != empty {
		t.Errorf("an empty directory has the digest %s", got)
	}
}

func TestTimesAreNoPartOfTheDigest(t *testing.T) {
	entries := sampleEntries()
	before := EncodeTree(entries)[0].Digest
	for i := range entries {
		entries[i].ModTime++
	}
	if after := EncodeTree(entries)[0].Digest; after != before {
		t.Error("the digest changes with the times")
	}
	entries[0].Mode = 0o600
	if after := EncodeTree(entries)[0].Digest; after == before {
		t.Error("the digest does not change with a mode")
	}
}

func manyEntries(n int) []Entry {
	entries := make([]Entry, n)
	for i := range entries {
		entries[i] = Entry{Name: fmt.Sprintf("file %07d", i), Type: TypeFile, Size: 1, Content: Key{KindContent, Sum(fmt.Append(nil, i))}}
	}
	return entries
}

func TestLargeDirectoryIsInParts(t *testing.T) {
	entries := manyEntries(20_000)
	objects := EncodeTree(entries)
	if len(objects) < 5 {
		t.Fatalf("%d objects", len(objects))
	}
	for _, object := range objects {
		if len(object.Record()) > splitMax+64<<10 {
			t.Errorf("a part has %d bytes", len(object.Record()))
		}
	}
	if got := decodeAll(t, objects); !reflect.DeepEqual(got, entries) {
		t.Error("it is another directory when it is put together")
	}
	entries = slices.Delete(entries, 9999, 10_000)
	changed := 0
	for _, object := range EncodeTree(entries) {
		if !slices.ContainsFunc(objects, func(o TreeObject) bool { return o.Digest == object.Digest }) {
			changed++
		}
	}
	if changed > 4 {
		t.Errorf("%d of %d objects change with one entry", changed, len(objects))
	}
}

func TestPartsElsewhereAreRefused(t *testing.T) {
	entries := manyEntries(20_000)
	parts := splitEntries(entries)
	if err := CheckParts(parts); err != nil {
		t.Fatal(err)
	}
	for name, wrong := range map[string][][]Entry{
		"not cut":    {entries},
		"cut early":  {entries[:10], entries[10:]},
		"swapped":    append([][]Entry{parts[1], parts[0]}, parts[2:]...),
		"small, cut": {entries[:1], entries[1:2]},
	} {
		var format *FormatError
		if err := CheckParts(wrong); !errors.As(err, &format) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestInvalidEntriesAreRefused(t *testing.T) {
	content := Key{KindContent, Sum([]byte("hello"))}
	file := Entry{Name: "a", Type: TypeFile, Mode: 0o644, Size: 5, Content: content}
	change := func(change func(*Entry)) []Entry {
		e := file
		change(&e)
		return []Entry{e}
	}
	named := func(name string) []Entry { return change(func(e *Entry) { e.Name = name }) }
	for name, entries := range map[string][]Entry{
		"no name":        named(""),
		"dot":            named("."),
		"dot dot":        named(".."),
		"absolute":       named("/etc/passwd"),
		"slash":          named("a/b"),
		"NUL":            named("a\x00b"),
		"long name":      named(strings.Repeat("n", MaxName+1)),
		"duplicate":      {file, file},
		"unsorted":       {{Name: "b", Type: TypeFile}, {Name: "a", Type: TypeFile}},
		"type":           change(func(e *Entry) { e.Type = 9 }),
		"no content":     change(func(e *Entry) { e.Content = Key{} }),
		"link out":       change(func(e *Entry) { e.Link = "../x" }),
		"absolute link":  change(func(e *Entry) { e.Link = "/x" }),
		"long link":      change(func(e *Entry) { e.Link = strings.Repeat("a/", MaxPath) + "a" }),
		"no target":      {{Name: "l", Type: TypeSymlink}},
		"NUL in target":  {{Name: "l", Type: TypeSymlink, Target: "a\x00"}},
		"long target":    {{Name: "l", Type: TypeSymlink, Target: strings.Repeat("a", MaxPath)}},
		"dir of nothing": {{Name: "d", Type: TypeDirectory}},
	} {
		var format *FormatError
		if _, err := DecodeTree(encodeEntries(entries)); !errors.As(err, &format) {
			t.Errorf("%s: %v", name, err)
		}
	}
	object := encodeEntries([]Entry{file})
	object.Times = object.Times[:7]
	if _, err := DecodeTree(object); err == nil {
		t.Error("cut times are taken")
	}
	for n := range len(object.Canonical) {
		if _, err := DecodeTree(TreeObject{Canonical: object.Canonical[:n], Times: make([]byte, 8)}); err == nil {
			t.Errorf("a tree that is cut after %d bytes is taken", n)
		}
	}
	if _, err := DecodeTree(TreeObject{Canonical: append(slices.Clone(object.Canonical), 0), Times: make([]byte, 8)}); err == nil {
		t.Error("a tree with more behind its end is taken")
	}
}

func TestComparePaths(t *testing.T) {
	want := []string{"a", "a/b", "a/b/c", "a/bc", "a b", "a-b", "a.b", "ab"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, ComparePaths)
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestList(t *testing.T) {
	chunks := []Chunk{{Sum([]byte("a")), MaxContent}, {Sum([]byte("b")), 1}}
	list := EncodeList(chunks)
	got, err := DecodeList(list)
	if err != nil || !slices.Equal(got, chunks) || ListSize(got) != MaxContent+1 {
		t.Errorf("got %v, %v", got, err)
	}
	for name, wrong := range map[string][]byte{
		"empty":       {},
		"version":     append([]byte{9}, list[1:]...),
		"cut":         list[:len(list)-1],
		"more":        append(slices.Clone(list), 0),
		"small":       EncodeList(chunks[1:]),
		"large chunk": EncodeList([]Chunk{{Sum(nil), MaxContent + 1}}),
		"empty chunk": EncodeList([]Chunk{{Sum(nil), 0}, chunks[0], chunks[1]}),
	} {
		var format *FormatError
		if _, err := DecodeList(wrong); !errors.As(err, &format) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseDigest(t *testing.T) {
	d := Sum([]byte("x"))
	if got, err := ParseDigest(d.String()); got != d || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	for _, wrong := range []string{"", "abc", strings.ToUpper(d.String()), d.String() + "0", strings.Repeat("g", 64)} {
		if _, err := ParseDigest(wrong); err == nil {
			t.Errorf("%q is a digest", wrong)
		}
	}
}

// leavingEntries have names that are no names in a directory.
func leavingEntries() []Entry {
	var all []Entry
	for _, name := range []string{"", ".", "..", "../up", "/absolute", "a/b", "nul\x00", strings.Repeat("n", 256)} {
		all = append(all, Entry{Name: name, Type: TypeFile, Mode: 0o644}, Entry{Name: name, Type: TypeSymlink, Target: "x"},
			Entry{Name: name, Type: TypeDirectory, Mode: 0o755, Content: Key{KindTree, Sum([]byte(name))}})
	}
	for _, link := range []string{"..", "../up", "/absolute", "a/../../b", "a//b"} {
		all = append(all, Entry{Name: "linked", Type: TypeFile, Mode: 0o644, Link: link})
	}
	return all
}

func TestDecodeTreeRefusesToBeLeft(t *testing.T) {
	for _, entry := range leavingEntries() {
		if directory, err := DecodeTree(EncodeTree([]Entry{entry})[0]); err == nil {
			t.Errorf("an entry %+v was taken: %+v", entry, directory)
		}
	}
}

// isName tells whether a name lies in the directory that has it.
func isName(name string) bool {
	return name != "" && name != "." && name != ".." && strings.IndexByte(name, '/') < 0 && strings.IndexByte(name, 0) < 0
}

// FuzzDecodeTree: what is decoded is encoded to the same bytes, so that no tree
// has two digests, and has no name that leaves it.
func FuzzDecodeTree(f *testing.F) {
	for _, object := range append(EncodeTree(sampleEntries()), EncodeTree(manyEntries(3000))[0], EncodeTree(nil)[0]) {
		f.Add(object.Record())
	}
	for _, entry := range leavingEntries() {
		f.Add(EncodeTree([]Entry{entry})[0].Record())
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		object, err := ParseTreeRecord(record)
		if err != nil {
			return
		}
		directory, err := DecodeTree(object)
		if err != nil || directory.Parts != nil {
			return
		}
		again := encodeEntries(directory.Entries)
		if !bytes.Equal(again.Canonical, object.Canonical) || !bytes.Equal(again.Times, object.Times) {
			t.Errorf("%x is encoded as %x", object.Canonical, again.Canonical)
		}
		for _, entry := range directory.Entries {
			if !isName(entry.Name) {
				t.Errorf("an entry is called %q", entry.Name)
			}
			for name := range strings.SplitSeq(entry.Link, "/") {
				if entry.Link != "" && !isName(name) {
					t.Errorf("an entry is a link to %q", entry.Link)
				}
			}
		}
	})
}

func FuzzDecodeList(f *testing.F) {
	f.Add(EncodeList([]Chunk{{Sum([]byte("a")), MaxContent}, {Sum([]byte("b")), 1}}))
	f.Fuzz(func(t *testing.T, list []byte) {
		chunks, err := DecodeList(list)
		if err != nil {
			return
		}
		if again := EncodeList(chunks); !bytes.Equal(again, list) {
			t.Errorf("%x is encoded as %x", list, again)
		}
	})
}
