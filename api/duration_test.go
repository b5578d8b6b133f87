package api

import (
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{"0": 0, "5s": 5 * time.Second, "1h30m": 90 * time.Minute, "100ms": 100 * time.Millisecond} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
		}
	}
	const form = " is no time: write it with its unit, as in 5s, 1m or 2h"
	for text, want := range map[string]string{
		"":            `""` + form,
		"5":           `"5"` + form,
		"5 minutes":   `"5 minutes"` + form,
		"2d":          `"2d"` + form,
		"9999999999h": `"9999999999h"` + form,
		"-5s":         `"-5s" is no time: it is below 0`,
		"\x1b[2J":     `"\x1b[2J"` + form,
	} {
		if got, err := ParseDuration(text); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, %v; want %s", text, got, err, want)
		}
	}
}
