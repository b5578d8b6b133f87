package transfer

import (
	"io"

	"midge/artifacts"
	"midge/artifacts/scan"
)

// lacking is what the server lacks of a tree.
type lacking struct {
	top   bool // all of it
	masks map[artifacts.Key][]uint64
}

// is reports whether the i-th of what an object names is absent.
func (l *lacking) is(key artifacts.Key, i int) bool {
	mask := l.masks[key]
	return i/64 < len(mask) && mask[i/64]&(1<<(i%64)) != 0
}

func readLacking(r io.Reader) (*lacking, error) {
	l := &lacking{masks: make(map[artifacts.Key][]uint64)}
	var err error
	l.top, err = artifacts.ReadAnswer(r, func(key artifacts.Key, is func(int) bool, count int) error {
		mask := make([]uint64, (count+63)/64)
		for i := range count {
			if is(i) {
				mask[i/64] |= 1 << (i % 64)
			}
		}
		l.masks[key] = mask
		return nil
	})
	return l, err
}

func (l *lacking) anyChunk(list artifacts.Key) bool { return l.masks[list] != nil }

func (l *lacking) chunk(list artifacts.Key, i int, _ artifacts.Digest) bool { return l.is(list, i) }

func (l *lacking) eachEntry(d scan.Directory, absent func(index int)) {
	objects := d.Objects()
	if len(objects) > 1 {
		objects = objects[1:]
	}
	index := 0
	for _, object := range objects {
		count := object.Entries()
		if _, ok := l.masks[artifacts.Key{Kind: artifacts.KindTree, Digest: object.Digest}]; ok {
			for i := range count {
				if l.is(artifacts.Key{Kind: artifacts.KindTree, Digest: object.Digest}, i) {
					absent(index + i)
				}
			}
		}
		index += count
	}
}
