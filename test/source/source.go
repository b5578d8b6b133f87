// Package source finds the module's files for tests that build or read them. It
// does not know where a test was compiled: programs are built without paths.
package source

import (
	"os"
	"path/filepath"
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
