package main

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"midge/api"
)

// memoryValue is a flag of an amount of memory in bytes.
type memoryValue uint64

func (v *memoryValue) Set(text string) error {
	bytes, err := api.ParseMemory(text)
	if err != nil {
		return err
	}
	*v = memoryValue(bytes)
	return nil
}

func (v *memoryValue) String() string { return strconv.FormatUint(uint64(*v), 10) }
func (v *memoryValue) Type() string   { return "memory" }

// levelValue is a flag of a log level.
type levelValue slog.Level

func (v *levelValue) Set(text string) error { return (*slog.Level)(v).UnmarshalText([]byte(text)) }
func (v *levelValue) String() string        { return strings.ToLower(slog.Level(*v).String()) }
func (v *levelValue) Type() string          { return "level" }

// choiceValue is a flag that takes one of several words.
type choiceValue struct {
	value   *string
	choices []string
}

// newChoice makes a flag whose default is what value has, else the first choice.
func newChoice(value *string, choices ...string) *choiceValue {
	if *value == "" {
		*value = choices[0]
	}
	return &choiceValue{value, choices}
}

func (v *choiceValue) Set(text string) error {
	if !slices.Contains(v.choices, text) {
		return fmt.Errorf("it should be one of %s", strings.Join(v.choices, ", "))
	}
	*v.value = text
	return nil
}

func (v *choiceValue) String() string { return *v.value }
func (v *choiceValue) Type() string   { return "word" }
