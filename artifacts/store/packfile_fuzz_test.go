package store

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"midge/artifacts"
)

// Whatever a footer says, it is read or found to be damaged, and takes no more memory
// than it has bytes.
func FuzzReadPack(f *testing.F) {
	f.Add([]byte("\x04main\x02\x00"), true)
	f.Add([]byte("\x04main\x02\x01\x00\x09\x01\x00"+string(make([]byte, artifacts.DigestSize))+"\x05"), true)
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), true)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, footer []byte, signed bool) {
		file := footer
		if signed {
			digest := artifacts.Sum(footer)
			file = append(append(footer[:len(footer):len(footer)], digest[:]...), binary.LittleEndian.AppendUint64(nil, uint64(len(footer)))...)
			file = append(file, footerMagic...)
		}
		path := filepath.Join(t.TempDir(), "00000001.pack")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		p, keys, err := readPack(path)
		if err == nil && (len(keys) != len(p.objects) || len(keys) > len(footer) || len(p.frames) > len(footer)) {
			t.Errorf("%x has %d keys, %d objects and %d frames", footer, len(keys), len(p.objects), len(p.frames))
		}
	})
}
