package execute

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"midge/api"
)

// selectOutputs matches the request's outputs with the task's.
func (r Request) selectOutputs(config api.TaskConfig) ([]Mapping, error) {
	names := outputNames(config)
	var errs []error
	var outputs []Mapping
	for _, output := range r.Outputs {
		path := r.path(output.Path)
		switch info, err := os.Stat(path); {
		case !slices.Contains(names, output.Name):
			errs = append(errs, unknownName("the task has", "output", output.Name, names))
		case err == nil && !info.IsDir():
			errs = append(errs, fmt.Errorf("the output %q cannot be put into %s: it is a file", output.Name, output.Path))
		case errors.Is(err, syscall.ENOTDIR):
			errs = append(errs, fmt.Errorf("the output %q cannot be put into %s: a part of that path is a file", output.Name, output.Path))
		}
		outputs = append(outputs, Mapping{output.Name, path})
	}
	if a, b, share := sharing(outputs); share && r.Delete {
		errs = append(errs, fmt.Errorf("the outputs %q and %q go to the same directory, %s, where --delete would have each remove the other; give them directories of their own, or leave out --delete",
			a.Name, b.Name, a.Path))
	}
	return outputs, errors.Join(errs...)
}

// sharing finds two outputs of which one goes to the directory of the other, a, or into it.
func sharing(outputs []Mapping) (a, b Mapping, share bool) {
	for _, a := range outputs {
		for _, b := range outputs {
			relative, err := filepath.Rel(resolved(a.Path), resolved(b.Path))
			if a != b && err == nil && filepath.IsLocal(relative) {
				return a, b, true
			}
		}
	}
	return Mapping{}, Mapping{}, false
}

// resolved gives an absolute path without links, as far as there is something at it.
func resolved(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	parent := filepath.Dir(path)
	if parent == path {
		return path
	}
	return filepath.Join(resolved(parent), filepath.Base(path))
}
