// Command typecheck checks that a package and all that it imports are right by their
// types on other operating systems:
//
//	typecheck PACKAGE GOOS...
//
// It compiles nothing, which for each system would take as long as a build of all.
package main

import (
	"fmt"
	"os"

	"golang.org/x/tools/go/packages"
)

func main() {
	failed := false
	for _, system := range os.Args[2:] {
		config := &packages.Config{
			Mode:  packages.LoadAllSyntax,
			Tests: true,
			Env:   append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0"),
		}
		loaded, err := packages.Load(config, os.Args[1])
		if err != nil {
			fmt.Fprintf(os.Stderr, "load %s for %s: %v\n", os.Args[1], system, err)
			os.Exit(1)
		}
		if packages.PrintErrors(loaded) > 0 {
			fmt.Fprintf(os.Stderr, "those are of %s for %s\n", os.Args[1], system)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}
