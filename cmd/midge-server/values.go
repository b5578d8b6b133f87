package main

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

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

// durationValue is a flag of a time.
type durationValue time.Duration

// newDuration makes a flag with a default.
func newDuration(value *time.Duration, byDefault time.Duration) *durationValue {
	*value = byDefault
	return (*durationValue)(value)
}

func (v *durationValue) Set(text string) error {
	duration, err := api.ParseDuration(text)
	if err != nil {
		return err
	}
	*v = durationValue(duration)
	return nil
}

func (v *durationValue) String() string {
	if *v == 0 {
		return "0" // as which help does not show a default
	}
	return time.Duration(*v).String()
}

func (v *durationValue) Type() string { return "duration" }

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
