package execute

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"midge/api"
)

// selection is what of a request's inputs and outputs the task has a use for.
type selection struct {
	inputs  []source          // of the task's inputs, by the name of the artifact
	mapping map[string]string // of the task's inputs to artifacts of another name
	outputs []Mapping         // to be brought home, with absolute paths
}

// selectTrees matches the request with the task's inputs and outputs. All that does
// not fit is in the error, a line each.
func (r Request) selectTrees(config api.TaskConfig) (selection, error) {
	var errs []error
	given := map[string]string{}
	for _, input := range r.Inputs {
		if _, twice := given[input.Name]; twice {
			errs = append(errs, fmt.Errorf("the input %q is given twice", input.Name))
		}
		given[input.Name] = input.Path
	}
	selected := selection{mapping: map[string]string{}}
	known := map[string]bool{}
	for _, input := range config.Inputs {
		name := r.artifactOf(input.Name, given)
		known[input.Name], known[name] = true, true
		if name != input.Name {
			selected.mapping[input.Name] = name
		}
		if slices.ContainsFunc(selected.inputs, func(s source) bool { return s.name == name }) {
			continue
		}
		source, found, err := r.sourceOf(name, given)
		errs = append(errs, err)
		switch {
		case found:
			selected.inputs = append(selected.inputs, source)
		case !found && !input.Optional:
			errs = append(errs, r.missingInput(name))
		}
	}
	for _, input := range r.Inputs {
		if !known[input.Name] {
			errs = append(errs, unknownName("the task has", "input", input.Name, inputNames(config)))
		}
	}
	for name := range r.InputMapping {
		if !slices.Contains(inputNames(config), name) {
			errs = append(errs, unknownName("the task has", "input", name, inputNames(config)))
		}
	}
	outputs, err := r.selectOutputs(config)
	selected.outputs = outputs
	return selected, errors.Join(append(errs, err)...)
}

// sourceOf gives where an artifact comes from: what was given for it, else what it was in
// the build that is repeated, or is in the job that the inputs are from; where there is
// no job, else the current directory, if that has its name.
func (r Request) sourceOf(name string, given map[string]string) (from source, found bool, err error) {
	if path, found := given[name]; found {
		from, err = r.source(name, path)
		return from, true, err
	}
	if r.earlier != nil {
		if id, found := r.earlier.inputs[name]; found {
			return source{name: name, artifact: id}, true, nil
		}
	}
	if r.job != nil {
		input, found := r.job.inputs[name]
		return source{name: name, job: input}, found, nil
	}
	if name == filepath.Base(r.Directory) {
		from, err = r.source(name, ".")
		return from, true, err
	}
	return source{}, false, nil
}

// missingInput says that nothing was given for an input.
func (r Request) missingInput(name string) error {
	if r.job != nil {
		return fmt.Errorf("the task needs the input %q; give it with -i %s=DIRECTORY, or map one of the job's to it with -m %s=OTHER (it has %s)",
			name, name, name, cmp.Or(strings.Join(r.job.names(), ", "), "none"))
	}
	return fmt.Errorf("the task needs the input %q; give it with -i %s=DIRECTORY", name, name)
}

// artifactOf names the artifact that a task's input is taken from. A directory given
// for the input itself goes before its mapping.
func (r Request) artifactOf(input string, given map[string]string) string {
	if _, direct := given[input]; direct {
		return input
	}
	if mapped, ok := r.InputMapping[input]; ok {
		return mapped
	}
	return input
}

func inputNames(config api.TaskConfig) []string {
	names := make([]string, len(config.Inputs))
	for i, input := range config.Inputs {
		names[i] = input.Name
	}
	return names
}

func outputNames(config api.TaskConfig) []string {
	names := make([]string, len(config.Outputs))
	for i, output := range config.Outputs {
		names[i] = output.Name
	}
	return names
}

// unknownName says that something has no input or output of a name, and which it has.
func unknownName(whose, kind, name string, known []string) error {
	switch nearest := api.Nearest(name, known); {
	case len(known) == 0:
		return fmt.Errorf("%s no %s %q: it has no %ss", whose, kind, name, kind)
	case nearest != "":
		return fmt.Errorf("%s no %s %q; did you mean %q?", whose, kind, name, nearest)
	}
	quoted := make([]string, len(known))
	for i, k := range known {
		quoted[i] = strconv.Quote(k)
	}
	return fmt.Errorf("%s no %s %q; it has %s", whose, kind, name, strings.Join(quoted, ", "))
}
