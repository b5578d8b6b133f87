package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/pflag"

	"midge/api"
)

// readSources sets the flags that were not given from variables, and those that no
// variable gives from the file that --config names.
func readSources(flags *pflag.FlagSet, lookupEnv func(string) (string, bool)) error {
	if err := readEnvironment(flags, lookupEnv); err != nil {
		return err
	}
	path := flags.Lookup(configFlag).Value.String()
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the settings: %w", err)
	}
	return readFile(flags, path, text)
}

// variable is the environment variable of a setting.
func variable(flag string) string {
	return "MIDGE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func readEnvironment(flags *pflag.FlagSet, lookupEnv func(string) (string, bool)) error {
	var errs []error
	flags.VisitAll(func(flag *pflag.Flag) {
		text, given := lookupEnv(variable(flag.Name))
		if !given || flag.Changed {
			return
		}
		values := []string{text}
		if _, many := flag.Value.(pflag.SliceValue); many {
			values = strings.Split(text, ",")
		}
		if err := setAll(flags, flag.Name, values); err != nil {
			errs = append(errs, fmt.Errorf("the variable %s: %w", variable(flag.Name), err))
		}
	})
	return errors.Join(errs...)
}

func readFile(flags *pflag.FlagSet, path string, text []byte) error {
	var fields yaml.MapSlice
	if err := yaml.Unmarshal(text, &fields); err != nil {
		return fmt.Errorf("%s is not YAML: %s", path, yaml.FormatError(err, false, false))
	}
	given := map[string]bool{}
	flags.Visit(func(flag *pflag.Flag) { given[flag.Name] = true })
	for _, field := range fields {
		name := fmt.Sprint(field.Key)
		if flags.Lookup(name) == nil || name == configFlag {
			return fmt.Errorf("%s: there is no setting %q%s", path, name, nearest(flags, name))
		}
		if given[name] {
			continue
		}
		values, err := fieldValues(field.Value)
		if err == nil {
			err = setAll(flags, name, values)
		}
		if err != nil {
			return fmt.Errorf("%s: the setting %s: %w", path, name, err)
		}
	}
	return nil
}

// fieldValues gives the values of a field: one, or those of a list.
func fieldValues(value any) ([]string, error) {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	var values []string
	for _, one := range list {
		switch one.(type) {
		case string, bool, uint64, int64, float64:
			values = append(values, fmt.Sprint(one))
		default:
			return nil, errors.New("it should be a value, or a list of values")
		}
	}
	return values, nil
}

// setAll sets a flag to a value, or to several one after the other.
func setAll(flags *pflag.FlagSet, name string, values []string) error {
	for _, value := range values {
		err := flags.Set(name, value)
		// What pflag says around it is about a flag that the user has not written.
		if invalid := (*pflag.InvalidValueError)(nil); errors.As(err, &invalid) {
			err = invalid.Unwrap()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// nearest suggests the setting whose name is most like one that is not there.
func nearest(flags *pflag.FlagSet, name string) string {
	var known []string
	flags.VisitAll(func(flag *pflag.Flag) { known = append(known, flag.Name) })
	if like := api.Nearest(name, known); like != "" {
		return "; did you mean " + like + "?"
	}
	return ""
}
