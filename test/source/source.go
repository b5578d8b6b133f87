// Package source finds the module's files for tests that build or read them. It
// does not know where a test was compiled: programs are built without paths.
package source

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// Dir is the top directory of the module that the program works in, and panics
// where there is none: tests run in the directory of their package.
func Dir() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	for above := ""; dir != above; above, dir = dir, filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	panic("there is no go.mod above the working directory")
}

// Look looks at all files of the module, but for those that make leaves there. go test
// remembers which files a test has looked at, and does not take its result from the cache
// when one of them has changed: of what programs a test has built it does not know otherwise.
var Look = sync.OnceValue(func() error {
	top := Dir()
	made := []string{filepath.Join(top, ".git"), filepath.Join(top, "bin"), filepath.Join(top, "dist"), filepath.Join(top, "report")}
	return filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if slices.Contains(made, path) {
			return filepath.SkipDir
		}
		if err == nil {
			_, err = os.Stat(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone meanwhile
		}
		return err
	})
})
