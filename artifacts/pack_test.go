package artifacts

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func samplePack() ([]byte, []Object) {
	var frame FrameBuilder
	var objects []Object
	pack := AppendPackStart(nil)
	for _, content := range []string{"hello", strings.Repeat("again ", 1000), "x"} {
		key := Key{KindContent, Sum([]byte(content))}
		frame.Add(key, []byte(content))
		objects = append(objects, Object{key, len(content)})
	}
	pack = frame.AppendFrame(pack)
	frame.Reset()
	tree := EncodeTree(sampleEntries())[0]
	record := tree.Record()
	copy(frame.Extend(Key{KindTree, tree.Digest}, len(record)), record)
	objects = append(objects, Object{Key{KindTree, tree.Digest}, len(record)})
	return AppendPackEnd(frame.AppendFrame(pack)), objects
}

// readPack reads and verifies a pack as who receives it does.
func readPack(r io.Reader) ([]Object, error) {
	reader := NewPackReader(r)
	var objects []Object
	for {
		frame, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return objects, err
		}
		raw, err := frame.Decompress(nil)
		if err != nil {
			return objects, err
		}
		if err := frame.Verify(raw); err != nil {
			return objects, err
		}
		parsed, err := ParseFrame(frame.Encoded)
		if err != nil {
			return objects, err
		}
		if !slices.Equal(parsed.Objects, frame.Objects) || parsed.Raw() != frame.Raw() {
			return objects, errors.New("a frame is another when it is read again")
		}
		objects = append(objects, frame.Objects...)
	}
}

func TestPackRoundTrip(t *testing.T) {
	pack, want := samplePack()
	got, err := readPack(iotest.OneByteReader(bytes.NewReader(pack)))
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestDamagedPackIsRefused(t *testing.T) {
	pack, want := samplePack()
	for n := range len(pack) {
		var format *FormatError
		if _, err := readPack(bytes.NewReader(pack[:n])); !errors.As(err, &format) {
			t.Fatalf("cut after %d bytes: %v", n, err)
		}
	}
	for i := range pack {
		damaged := slices.Clone(pack)
		damaged[i] ^= 0x40
		// A byte may be one of the times, which no digest covers, or one that zstd ignores.
		if got, err := readPack(bytes.NewReader(damaged)); err == nil && !slices.Equal(got, want) {
			t.Errorf("a pack with another byte at %d is taken for %v", i, got)
		}
	}
	broken := errors.New("broken")
	if _, err := readPack(io.MultiReader(bytes.NewReader(pack[:50]), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// frameSaying makes a frame whose header says size for what content compresses to.
func frameSaying(size int, content []byte) []byte {
	key := Key{KindContent, Sum(content)}
	b := AppendPackStart(nil)
	b = append(b, 1, byte(key.Kind))
	b = append(b, key.Digest[:]...)
	b = binary.AppendUvarint(b, uint64(size))
	compressed := zstdEncoder().EncodeAll(content, nil)
	b = binary.AppendUvarint(b, uint64(len(compressed)))
	return AppendPackEnd(append(b, compressed...))
}

func TestPackThatInflatesIsRefused(t *testing.T) {
	zeros := make([]byte, 64<<20)
	for name, pack := range map[string][]byte{
		"more than it says":  frameSaying(1000, zeros),
		"less than it says":  frameSaying(1001, zeros[:1000]),
		"more than may be":   frameSaying(len(zeros), zeros),
		"an empty object":    frameSaying(0, nil),
		"too many objects":   binary.AppendUvarint(AppendPackStart(nil), maxFrameObjects+1),
		"a very long number": append(AppendPackStart(nil), bytes.Repeat([]byte{0xff}, 20)...),
		"a padded number":    append(AppendPackStart(nil), 0x80, 0),
		"another version":    []byte("midgepk\x02\x00"),
	} {
		var format *FormatError
		if _, err := readPack(bytes.NewReader(pack)); !errors.As(err, &format) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnswer(t *testing.T) {
	tree, list := Key{KindTree, Sum([]byte("t"))}, Key{KindList, Sum([]byte("l"))}
	var a Answer
	a.AbsentTop()
	a.Absent(tree, []uint64{1 << 3, 1 << 36}, 101)
	a.Absent(list, nil, 9)
	absent := make(map[Key][]int)
	top, err := ReadAnswer(bytes.NewReader(a.Bytes()), func(key Key, is func(int) bool, count int) error {
		for i := range count {
			if is(i) {
				absent[key] = append(absent[key], i)
			}
		}
		return nil
	})
	if err != nil || !top || !slices.Equal(absent[tree], []int{3, 100}) || len(absent[list]) != 0 {
		t.Errorf("got %v, %v, %v", top, absent, err)
	}
	for n := range len(a.Bytes()) {
		if _, err := ReadAnswer(bytes.NewReader(a.Bytes()[:n]), func(Key, func(int) bool, int) error { return nil }); err == nil {
			t.Errorf("an answer that is cut after %d bytes is taken", n)
		}
	}
}

func TestKeys(t *testing.T) {
	keys := []Key{{KindContent, Sum([]byte("a"))}, {KindTree, Sum([]byte("b"))}}
	var b []byte
	for _, key := range keys {
		b = AppendKey(b, key)
	}
	if got, err := ParseKeys(b); err != nil || !slices.Equal(got, keys) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := ParseKeys(b[1:]); err == nil {
		t.Error("cut keys are taken")
	}
	b[0] = 9
	if _, err := ParseKeys(b); err == nil {
		t.Error("a key of an unknown kind is taken")
	}
}

func FuzzPack(f *testing.F) {
	pack, _ := samplePack()
	f.Add(pack)
	f.Add(frameSaying(1000, make([]byte, 5000)))
	f.Fuzz(func(t *testing.T, pack []byte) {
		objects, err := readPack(bytes.NewReader(pack))
		var format *FormatError
		var digest *DigestError
		if err != nil && !errors.As(err, &format) && !errors.As(err, &digest) {
			t.Errorf("%d objects, then %v", len(objects), err)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	var a Answer
	a.Absent(Key{KindTree, Sum(nil)}, []uint64{5}, 20)
	f.Add(a.Bytes())
	f.Fuzz(func(t *testing.T, answer []byte) {
		var again Answer
		top, err := ReadAnswer(bytes.NewReader(answer), func(key Key, is func(int) bool, count int) error {
			mask := make([]uint64, count/64+1)
			for i := range count {
				if is(i) {
					mask[i/64] |= 1 << (i % 64)
				}
			}
			for _, word := range mask {
				if bits.OnesCount64(word) > count {
					t.Errorf("%v says that more is absent than there is", key)
				}
			}
			again.Absent(key, mask, count)
			return nil
		})
		if err == nil && !top && len(again.Bytes()) > len(answer) {
			t.Errorf("%x is written as %x", answer, again.Bytes())
		}
	})
}
