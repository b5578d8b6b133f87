package api

import (
	"fmt"
	"time"
)

// ParseDuration reads a time that a person has written: as time.ParseDuration does, but
// none below 0. Its error says how to write one.
func ParseDuration(text string) (time.Duration, error) {
	duration, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is no time: write it with its unit, as in 5s, 1m or 2h", text)
	case duration < 0:
		return 0, fmt.Errorf("%q is no time: it is below 0", text)
	}
	return duration, nil
}
