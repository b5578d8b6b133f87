package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/pflag"

	"midge/api"
	"midge/server"
)

// teamsField is the field of the file that has teams, which no flag could hold.
const teamsField = "teams"

// readSources sets the flags that were not given from variables, and those that no
// variable gives from the file that --config names, which may have teams and workers
// as well.
func (s *settings) readSources(flags *pflag.FlagSet, lookupEnv func(string) (string, bool)) error {
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
	return s.readFile(flags, path, text)
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

func (s *settings) readFile(flags *pflag.FlagSet, path string, text []byte) error {
	var fields yaml.MapSlice
	if err := yaml.Unmarshal(text, &fields); err != nil {
		return fmt.Errorf("%s is not YAML: %s", path, yaml.FormatError(err, false, false))
	}
	given := map[string]bool{}
	flags.Visit(func(flag *pflag.Flag) { given[flag.Name] = true })
	var workers any
	for _, field := range fields {
		name := fmt.Sprint(field.Key)
		var err error
		switch {
		case name == teamsField:
			s.server.Teams, err = readTeams(field.Value)
		case name == workersField:
			workers = field.Value
		case flags.Lookup(name) == nil || name == configFlag:
			return fmt.Errorf("%s: there is no setting %q%s", path, name, nearest(flags, name, teamsField, workersField))
		case !given[name]:
			err = readField(flags, name, field.Value)
		}
		if err != nil {
			return fmt.Errorf("%s: the setting %s: %w", path, name, err)
		}
	}
	if workers == nil {
		return nil
	}
	for _, name := range []string{"worker-name", "tag"} {
		if flags.Changed(name) {
			return fmt.Errorf("%s: there are %s, so that %s has no meaning: leave one of the two out", path, workersField, name)
		}
	}
	// Last, because they are as the other settings have it where they do not say.
	if err := s.readWorkers(workers); err != nil {
		return fmt.Errorf("%s: the setting %s: %w", path, workersField, err)
	}
	return nil
}

// readTeams reads who may do what in which team.
func readTeams(value any) (teams map[string]server.TeamRoles, err error) {
	text, err := yaml.Marshal(value)
	if err == nil {
		err = yaml.UnmarshalWithOptions(text, &teams, yaml.Strict())
	}
	if err != nil {
		return nil, errors.New(yaml.FormatError(err, false, false))
	}
	return teams, nil
}

func readField(flags *pflag.FlagSet, name string, value any) error {
	values, err := fieldValues(value)
	if err != nil {
		return err
	}
	return setAll(flags, name, values)
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
			err = badValue(invalid)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// nearest suggests the setting, one of flags or known, whose name is most like one
// that is not there.
func nearest(flags *pflag.FlagSet, name string, known ...string) string {
	flags.VisitAll(func(flag *pflag.Flag) { known = append(known, flag.Name) })
	if like := api.Nearest(name, known); like != "" {
		return "; did you mean " + like + "?"
	}
	return ""
}

// badValue says what is wrong with a setting's value, without the setting's name.
func badValue(invalid *pflag.InvalidValueError) error {
	var number *strconv.NumError
	switch err := invalid.Unwrap(); {
	case !errors.As(err, &number):
		return err
	case errors.Is(err, strconv.ErrRange):
		return fmt.Errorf("%q is too large a number", number.Num)
	case number.Func == "ParseBool":
		return fmt.Errorf("%q is neither true nor false", number.Num)
	default:
		return fmt.Errorf("%q is no whole number", number.Num)
	}
}
