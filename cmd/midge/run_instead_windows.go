package main

import "errors"

// runInstead turns this process into another program, which Windows has no way to.
func runInstead(path string, args []string) error {
	return errors.New("the server runs on Linux alone; log in to one there with: midge -t NAME login -c URL")
}
