package transfer

import (
	"os"
	"path/filepath"
	"testing"

	"midge/artifacts"
)

// FuzzMemories has the files by which a client remembers what a server had, and what it
// fetched, hold anything. They save requests when they are true, and are of no use else.
func FuzzMemories(f *testing.F) {
	tree := artifacts.EncodeTree([]artifacts.Entry{{Name: "link", Type: artifacts.TypeSymlink, Target: "to"}})[0]
	key := artifacts.Key{Kind: artifacts.KindTree, Digest: tree.Digest}
	var frame artifacts.FrameBuilder
	frame.Add(key, tree.Record())
	pack := artifacts.AppendPackEnd(frame.AppendFrame(artifacts.AppendPackStart(nil)))
	for _, content := range [][]byte{artifacts.AppendKey([]byte(memoryMagic), key), []byte(memoryMagic), pack, pack[:len(pack)-9], nil} {
		f.Add(content)
	}
	cache := f.TempDir()
	sent, err := openMemory(cache, "http://server", ".")
	if err != nil {
		f.Fatal(err)
	}
	fetched, err := openTreeMemory(cache, ".")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range []string{sent.path, fetched.path} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		digest := artifacts.Sum(content)
		for path, written := range map[string][]byte{sent.path: append(content[:len(content):len(content)], digest[:]...), fetched.path: content} {
			if err := os.WriteFile(path, written, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if m, err := openMemory(cache, "http://server", "."); err != nil || len(m.keys) > len(content)/artifacts.DigestSize {
			t.Errorf("%d keys are remembered of %d bytes (%v)", len(m.keys), len(content), err)
		}
		m, err := openTreeMemory(cache, ".")
		if err != nil {
			t.Fatal(err)
		}
		for key, record := range m.old {
			if err := artifacts.VerifyRecord(key, record); err != nil {
				t.Errorf("an object is remembered as what it is not: %v", err)
			}
		}
	})
}
