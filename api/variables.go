package api

import (
	"errors"
	"fmt"
	"strings"
)

// Variables are the values that stand for ((name)) in task files. The zero value has none.
type Variables struct {
	// layers are looked through in order; the first that has the name decides,
	// also when its value lacks the field that is asked for.
	layers []map[variable]any
}

type variable struct{ source, name string }

// VariablesFile is a YAML file of variables: a map of names to values.
type VariablesFile struct {
	Name string // in errors
	Data []byte
}

// ParseVariables reads variables as a command line gives them: texts are
// NAME=STRING, yamls NAME=YAML, files what is in files. Texts and yamls go before
// files, of each the later before the earlier. A NAME may have a source and fields: a.b=c
// gives a the value {b: c}, and further fields of a add to it.
// All that is wrong is in the error, one line each.
func ParseVariables(texts, yamls []string, files []VariablesFile) (Variables, error) {
	var errs []error
	assigned := map[variable]any{}
	for _, text := range texts {
		name, value, err := cutAssignment("-v", text)
		if err == nil {
			err = assign(assigned, name, value)
		}
		errs = append(errs, err)
	}
	for _, text := range yamls {
		name, value, err := cutAssignment("-y", text)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		problems := &problems{file: "-y " + name.String()}
		root := parseYAMLValue(problems, []byte(value))
		if err := problems.err(); err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, assign(assigned, name, root.decoded()))
	}
	layers := make([]map[variable]any, len(files)+1)
	layers[0] = assigned
	for i, file := range files {
		values, err := file.parse()
		errs = append(errs, err)
		layers[len(files)-i] = values
	}
	if err := errors.Join(errs...); err != nil {
		return Variables{}, err
	}
	return Variables{layers: layers}, nil
}

// NewVariables makes variables of a plan's vars. They are known both by their
// name alone and as those of the build, ((.:name)).
func NewVariables(values map[string]any) Variables {
	layer := make(map[variable]any, 2*len(values))
	for name, value := range values {
		layer[variable{name: name}] = value
		layer[variable{source: ".", name: name}] = value
	}
	return Variables{layers: []map[variable]any{layer}}
}

// parseYAMLValue reads a YAML value; nothing at all is null.
func parseYAMLValue(problems *problems, data []byte) *node {
	if strings.TrimSpace(string(data)) == "" {
		return newScalar(position{1, 1}, nil)
	}
	return parseYAML(problems, data)
}

func (f VariablesFile) parse() (map[variable]any, error) {
	problems := &problems{file: f.Name}
	root := parseYAMLValue(problems, f.Data)
	if err := problems.err(); err != nil {
		return nil, err
	}
	values := map[variable]any{}
	if root.kind != mappingNode {
		if root.kind == scalarNode && root.value == nil {
			return values, nil
		}
		problems.add(root.at, "", "a file of variables must be a map of names to values, and is %s", root.describe())
		return nil, problems.err()
	}
	for _, f := range root.fields {
		values[variable{name: f.name}] = f.value.decoded()
	}
	return values, nil
}

// cutAssignment cuts NAME=VALUE at the first = that is not in quotes.
func cutAssignment(flag, text string) (Reference, string, error) {
	quoted := false
	for i, c := range text {
		switch {
		case c == '"':
			quoted = !quoted
		case c == '=' && !quoted:
			name, err := ParseReference(text[:i])
			if err != nil {
				return Reference{}, "", fmt.Errorf("%s %s: %w", flag, text[:i], err)
			}
			return name, text[i+1:], nil
		}
	}
	return Reference{}, "", fmt.Errorf("%s %s has no =: write NAME=VALUE", flag, text)
}

// assign sets a variable, or a field of it, making the maps that lead there.
func assign(values map[variable]any, ref Reference, value any) error {
	key := variable{ref.Source, ref.Name}
	if len(ref.Fields) == 0 {
		values[key] = value
		return nil
	}
	fields, isMap := values[key].(map[string]any)
	if _, present := values[key]; present && !isMap {
		return fmt.Errorf("the variable %s is given both a value and a field", ref)
	}
	if fields == nil {
		fields = map[string]any{}
		values[key] = fields
	}
	last := len(ref.Fields) - 1
	for _, name := range ref.Fields[:last] {
		inner, isMap := fields[name].(map[string]any)
		if _, present := fields[name]; present && !isMap {
			return fmt.Errorf("the variable %s is given both a value and a field", ref)
		}
		if inner == nil {
			inner = map[string]any{}
			fields[name] = inner
		}
		fields = inner
	}
	fields[ref.Fields[last]] = value
	return nil
}

// lookup gives the value of a variable, or a sentence that says why there is none.
func (v Variables) lookup(ref Reference) (value any, missing string) {
	for _, layer := range v.layers {
		value, ok := layer[variable{ref.Source, ref.Name}]
		if !ok {
			continue
		}
		for i, name := range ref.Fields {
			fields, isMap := value.(map[string]any)
			if value, ok = fields[name]; !ok {
				has := Reference{Source: ref.Source, Name: ref.Name, Fields: ref.Fields[:i]}
				if !isMap {
					return nil, fmt.Sprintf("((%s)) is no map, so it has no field %q", has, name)
				}
				return nil, fmt.Sprintf("((%s)) has no field %q", has, name)
			}
		}
		return value, ""
	}
	return nil, fmt.Sprintf("undefined variable ((%s)): give it with -v %s=VALUE, -y or -l", ref, ref)
}
