// Package ignore tells which files of a directory are left out of an artifact:
// those that git ignores and those that .midgeignore files name.
//
// In a git repository git itself is asked, so that the answer is git's in every
// case: nested and global ignore files, negation, tracked files, worktrees,
// submodules. Elsewhere the .gitignore files are read here. .midgeignore files have
// the same syntax and are read here always; they leave out tracked files as well.
//
// When the rules cannot be evaluated the error says why. Nothing is ever taken
// because the rules could not be read.
package ignore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// The names of ignore files.
const (
	gitignore   = ".gitignore"
	midgeignore = ".midgeignore"
)

// Scope says which names of one directory are ignored. Scopes of different
// directories may be asked at the same time.
type Scope interface {
	// Ignored gives the rule that leaves a name of this directory out, nil if none does.
	Ignored(name string, isDir bool) (*Rule, error)
	// Enter gives the scope of a directory in this one. read gives the content of
	// a file in that directory; it must not follow symlinks.
	Enter(ctx context.Context, name string, read ReadFile) (Scope, error)
}

// ReadFile gives the content of a file of a directory.
type ReadFile func(name string) ([]byte, error)

// Rule is a line of an ignore file.
type Rule struct {
	Source  string // the file, from the top of the repository or of the input, or absolute
	Line    int    // from 1
	Pattern string
}

func (r *Rule) String() string { return fmt.Sprintf("%s:%d: %s", r.Source, r.Line, r.Pattern) }

// Open gives the scope of the directory dir.
func Open(ctx context.Context, dir string) (Scope, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the absolute path of %q: %w", dir, err)
	}
	repository, err := findRepository(dir)
	if err != nil {
		return nil, fmt.Errorf("look for a git repository around %q: %w", dir, err)
	}
	read := func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, name)) }
	var git Scope
	if repository != "" {
		git, err = openGit(ctx, repository, dir)
		if errors.Is(err, errNoRepository) {
			repository = ""
		} else if err != nil {
			return nil, err
		}
	}
	if repository == "" {
		repository = dir
		if git, err = newFiles(gitignore).load("", read); err != nil {
			return nil, err
		}
	}
	midge, err := openAbove(repository, dir)
	if err != nil {
		return nil, err
	}
	return both{git, midge}, nil
}

// openAbove gives the scope of the .midgeignore files from the directory top down to dir.
func openAbove(top, dir string) (Scope, error) {
	below, err := filepath.Rel(top, dir)
	if err != nil {
		return nil, fmt.Errorf("find %q below %q: %w", dir, top, err)
	}
	scope := newFiles(midgeignore)
	at := top
	load := func(name string) error {
		scope, err = scope.load(name, func(file string) ([]byte, error) { return os.ReadFile(filepath.Join(at, file)) })
		return err
	}
	if err := load(""); err != nil {
		return nil, err
	}
	if below == "." {
		return scope, nil
	}
	for name := range strings.SplitSeq(filepath.ToSlash(below), "/") {
		at = filepath.Join(at, name)
		if err := load(name); err != nil {
			return nil, err
		}
	}
	return scope, nil
}

// findRepository gives the nearest directory from dir up that has a .git, "" if none has.
func findRepository(dir string) (string, error) {
	for {
		_, err := os.Lstat(filepath.Join(dir, ".git"))
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			return "", err
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", nil
		}
		dir = parent
	}
}

// both ignores what either of two scopes ignores.
type both [2]Scope

func (b both) Ignored(name string, isDir bool) (*Rule, error) {
	for _, scope := range b {
		if rule, err := scope.Ignored(name, isDir); rule != nil || err != nil {
			return rule, err
		}
	}
	return nil, nil
}

func (b both) Enter(ctx context.Context, name string, read ReadFile) (Scope, error) {
	var entered both
	for i, scope := range b {
		var err error
		if entered[i], err = scope.Enter(ctx, name, read); err != nil {
			return nil, err
		}
	}
	return entered, nil
}
