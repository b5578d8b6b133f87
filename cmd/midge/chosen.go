package main

import (
	"errors"

	"github.com/spf13/pflag"
)

// chosen is the value of a flag that names which one of several is meant. It must not be
// empty: a script that gives a variable which is not set does not mean the newest build,
// or all, as who leaves the flag out does.
type chosen struct{ name *string }

// chosenVar adds such a flag to flags; short is "" for none.
func chosenVar(flags *pflag.FlagSet, name *string, flag, short, usage string) {
	flags.VarP(chosen{name}, flag, short, usage)
}

// Set implements pflag.Value.
func (c chosen) Set(text string) error {
	if text == "" {
		return errors.New("it is empty")
	}
	*c.name = text
	return nil
}

// String implements pflag.Value. pflag calls it of the zero value too.
func (c chosen) String() string {
	if c.name == nil {
		return ""
	}
	return *c.name
}

// Type implements pflag.Value.
func (chosen) Type() string { return "string" }
