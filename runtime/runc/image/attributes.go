package image

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// stack gives the layers of an image, the lowest first, with one more on top where
// it is needed: an overlay takes a directory's mode and owner from the uppermost
// layer that has it, and a layer that has a directory only because there are files
// in it knows neither. The layer on top has such directories as they should be.
func (s *Store) stack(layers []string) ([]string, error) {
	var pile pile
	for _, name := range layers {
		layer := pileLayer{dir: filepath.Join(s.dir, "layers", name, layerFiles)}
		text, err := os.ReadFile(filepath.Join(s.dir, "layers", name, layerFacts))
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(text, &layer.facts); err != nil {
			return nil, fmt.Errorf("read %s of layer %s: %w", layerFacts, name, err)
		}
		pile = append(pile, layer)
	}
	attributes, err := pile.attributes()
	if err != nil || len(attributes) == 0 {
		return layers, err
	}
	name := attributesName(layers)
	if err := s.makeAttributes(name, attributes); err != nil {
		return nil, fmt.Errorf("make the directories of the image: %w", err)
	}
	return append(slices.Clone(layers), name), nil
}

// attributesName names the layer on top by all that lie below it.
func attributesName(layers []string) string {
	sum := sha256.Sum256([]byte(strings.Join(layers, "\n")))
	return "a-" + hex.EncodeToString(sum[:11])
}

// pile is the layers of an image, the lowest first.
type pile []pileLayer

type pileLayer struct {
	dir   string
	facts facts
}

// attributes finds how the layer on top has to have directories: the implied ones
// that the uppermost layer has wrong, and those above them.
func (p pile) attributes() (map[string]*syscall.Stat_t, error) {
	attributes := make(map[string]*syscall.Stat_t)
	for _, layer := range p {
		for _, dir := range layer.facts.Implied {
			uppermost, stated, err := p.find(dir)
			if err != nil {
				return nil, err
			}
			if stated == nil || sameAttributes(uppermost, stated) {
				continue
			}
			attributes[dir] = stated
		}
	}
	for _, dir := range slices.Collect(maps.Keys(attributes)) {
		for above := path.Dir(dir); above != "."; above = path.Dir(above) {
			uppermost, stated, err := p.find(above)
			if err != nil {
				return nil, err
			}
			if stated == nil {
				stated = uppermost
			}
			if stated != nil {
				attributes[above] = stated
			}
		}
	}
	return attributes, nil
}

func sameAttributes(a, b *syscall.Stat_t) bool {
	return a.Mode == b.Mode && a.Uid == b.Uid && a.Gid == b.Gid
}

// find looks from the top down for a directory: how the uppermost layer has it, and
// how the uppermost one that has an entry for it has it. The latter is nil where
// none has one, or something that is no directory lies between.
func (p pile) find(dir string) (uppermost, stated *syscall.Stat_t, err error) {
	for _, layer := range slices.Backward(p) {
		info, err := os.Lstat(filepath.Join(layer.dir, dir))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		if !info.IsDir() {
			return uppermost, nil, nil
		}
		stat := info.Sys().(*syscall.Stat_t)
		if uppermost == nil {
			uppermost = stat
		}
		if _, implied := slices.BinarySearch(layer.facts.Implied, dir); !implied {
			return uppermost, stat, nil
		}
	}
	return uppermost, nil, nil
}

// makeAttributes makes a layer of nothing but directories.
func (s *Store) makeAttributes(name string, attributes map[string]*syscall.Stat_t) error {
	final := filepath.Join(s.dir, "layers", name)
	if there, err := exists(final); there || err != nil {
		return err
	}
	temporary, err := s.temporary(name)
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	files := filepath.Join(temporary, layerFiles)
	if err := os.Mkdir(files, 0o755); err != nil {
		return err
	}
	for dir := range attributes {
		if err := os.MkdirAll(filepath.Join(files, dir), 0o755); err != nil {
			return err
		}
	}
	for dir, stat := range attributes {
		name := filepath.Join(files, dir)
		if err := os.Lchown(name, int(stat.Uid), int(stat.Gid)); err != nil {
			return err
		}
		if err := unix.Chmod(name, stat.Mode&0o7777); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(temporary, layerFacts), []byte("{}"), 0o600); err != nil {
		return err
	}
	err = os.Rename(temporary, final)
	if errors.Is(err, fs.ErrExist) {
		return nil // another pull of the same layers was quicker
	}
	return err
}
