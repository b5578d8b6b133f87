package ignore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
)

// files is the scope of the ignore files of one name: of those in a directory and
// in the directories above it.
type files struct {
	file string // the name of the ignore files
	// names is the way from the top to this directory.
	names []string
	// levels are the files' patterns, the deepest last.
	levels []level
}

// level is the patterns of one ignore file.
type level struct {
	depth    int // how many names the directory of the file is below the top
	patterns []pattern
}

func newFiles(file string) *files { return &files{file: file} }

// load gives the scope of the directory name in this one, "" for the top itself.
func (f *files) load(name string, read ReadFile) (*files, error) {
	inside := &files{file: f.file, names: f.names, levels: f.levels}
	if name != "" {
		inside.names = append(f.names[:len(f.names):len(f.names)], name)
	}
	source := strings.Join(append(inside.names[:len(inside.names):len(inside.names)], f.file), "/")
	content, err := read(f.file)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.EISDIR):
		return inside, nil
	case err != nil:
		return nil, fmt.Errorf("read the ignore rules in %s: %w", source, err)
	}
	if patterns := parseFile(source, content); len(patterns) > 0 {
		inside.levels = append(f.levels[:len(f.levels):len(f.levels)], level{len(inside.names), patterns})
	}
	return inside, nil
}

func (f *files) Enter(_ context.Context, name string, read ReadFile) (Scope, error) {
	return f.load(name, read)
}

func (f *files) Ignored(name string, isDir bool) (*Rule, error) {
	if len(f.levels) == 0 {
		return nil, nil
	}
	names := append(f.names[:len(f.names):len(f.names)], name)
	for i := len(f.levels) - 1; i >= 0; i-- {
		l := &f.levels[i]
		for j := len(l.patterns) - 1; j >= 0; j-- {
			p := &l.patterns[j]
			if !p.matches(names[l.depth:], isDir) {
				continue
			}
			if p.negated {
				return nil, nil
			}
			return &p.rule, nil
		}
	}
	return nil, nil
}
