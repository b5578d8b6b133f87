package transfer

import (
	"fmt"
	"os"
	"path/filepath"

	"midge/artifacts"
	"midge/artifacts/scan"
)

// memory is what a server had of a directory after the last Send: the trees and
// lists. It saves questions; that the server has lost some of it since costs some.
type memory struct {
	path string // "" when nothing is remembered
	keys map[artifacts.Key]struct{}
}

// memoryMagic begins a memory file; its last byte is the version of the format.
const memoryMagic = "midgemm\x01"

// openMemory loads what is remembered. A damaged file is as good as none.
func openMemory(cacheDir, server, dir string) (*memory, error) {
	if cacheDir == "" {
		return new(memory), nil
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the absolute path of %q: %w", dir, err)
	}
	name := artifacts.Sum([]byte(server + "\x00" + absolute)).String()[:32]
	m := &memory{path: filepath.Join(cacheDir, "sent", name)}
	content, err := os.ReadFile(m.path)
	end := len(content) - artifacts.DigestSize
	if err != nil || end < len(memoryMagic) || string(content[:len(memoryMagic)]) != memoryMagic ||
		artifacts.Sum(content[:end]) != artifacts.Digest(content[end:]) {
		return m, nil
	}
	keys, err := artifacts.ParseKeys(content[len(memoryMagic):end])
	if err != nil {
		return m, nil
	}
	m.keys = make(map[artifacts.Key]struct{}, len(keys))
	for _, key := range keys {
		m.keys[key] = struct{}{}
	}
	return m, nil
}

func (m *memory) empty() bool { return len(m.keys) == 0 }

func (m *memory) has(key artifacts.Key) bool {
	_, ok := m.keys[key]
	return ok
}

// forget has the server asked about everything: it has lost what was remembered.
func (m *memory) forget() { m.keys = nil }

// save remembers that the server has a tree. When that fails the next Send asks
// more, which is all it costs.
func (m *memory) save(tree *scan.Tree) {
	if m.path == "" || m.has(tree.Top().Key()) {
		return
	}
	content := []byte(memoryMagic)
	for d := range tree.Directories() {
		for _, object := range d.Objects() {
			content = artifacts.AppendKey(content, artifacts.Key{Kind: artifacts.KindTree, Digest: object.Digest})
		}
		for _, e := range d.Entries() {
			if e.Content.Kind == artifacts.KindList {
				content = artifacts.AppendKey(content, e.Content)
			}
		}
	}
	digest := artifacts.Sum(content)
	_ = scan.ReplaceFile(m.path, append(content, digest[:]...))
}
