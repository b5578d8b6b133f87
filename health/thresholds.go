// Package health judges how a server is, on the side of who asks: by thresholds of
// one's own, and by running a tiny build through every part.
package health

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"

	"midge/api"
)

// Threshold is a bound for a number of a part. Beyond it the part has a verdict.
type Threshold struct {
	Verdict api.Verdict
	Part    string // "*" is every part that has the field
	Field   string
	Above   bool // what is above Bound is beyond, else what is below
	Bound   float64
}

var thresholdForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(.+)\.([a-z_]+)\s*([<>])\s*(\S+)$`)
})

// ParseThreshold reads PART.FIELD>NUMBER or PART.FIELD<NUMBER, where the number may end
// in KB, MB, GB or TB.
func ParseThreshold(verdict api.Verdict, text string) (Threshold, error) {
	fields := thresholdForm().FindStringSubmatch(strings.TrimSpace(text))
	if fields == nil {
		return Threshold{}, fmt.Errorf("the threshold %q should be like disk.free_bytes<20GB or engine.waiting_builds>10", text)
	}
	bound, err := strconv.ParseFloat(fields[4], 64)
	if err != nil {
		bytes, err := api.ParseMemory(fields[4])
		if err != nil {
			return Threshold{}, fmt.Errorf("the threshold %q ends in %q, which is neither a number nor a size", text, fields[4])
		}
		bound = float64(bytes)
	}
	return Threshold{verdict, fields[1], fields[2], fields[3] == ">", bound}, nil
}

// ReadThresholds reads a YAML file with the lists warn and critical.
func ReadThresholds(path string) ([]Threshold, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read thresholds: %w", err)
	}
	var file struct {
		Warn     []string `yaml:"warn"`
		Critical []string `yaml:"critical"`
	}
	if err := yaml.UnmarshalWithOptions(text, &file, yaml.DisallowUnknownField()); err != nil {
		return nil, fmt.Errorf("read thresholds from %s: %s", path, yaml.FormatError(err, false, false))
	}
	return ParseThresholds(file.Warn, file.Critical)
}

// ParseThresholds reads several of both verdicts.
func ParseThresholds(warn, critical []string) ([]Threshold, error) {
	var all []Threshold
	for _, list := range []struct {
		verdict api.Verdict
		texts   []string
	}{{api.VerdictWarning, warn}, {api.VerdictCritical, critical}} {
		for _, text := range list.texts {
			threshold, err := ParseThreshold(list.verdict, text)
			if err != nil {
				return nil, err
			}
			all = append(all, threshold)
		}
	}
	return all, nil
}

// Apply makes what is beyond a threshold a finding of its part, and the verdict of the
// document the worst there is. A threshold that no part has a number for is an error:
// it would never be found to be crossed.
func Apply(status *api.Status, thresholds []Threshold) error {
	for _, threshold := range thresholds {
		applied := false
		for i := range status.Parts {
			part := &status.Parts[i]
			if threshold.Part != "*" && threshold.Part != part.Name {
				continue
			}
			value, ok := number(*part, threshold.Field, status.Time)
			if !ok {
				continue
			}
			applied = true
			if threshold.Above && value > threshold.Bound || !threshold.Above && value < threshold.Bound {
				part.Verdict = cmp.Or(part.Verdict, api.VerdictOK).Worse(threshold.Verdict)
				part.Finding = strings.TrimPrefix(part.Finding+"; "+threshold.describe(value), "; ")
				status.Verdict = status.Verdict.Worse(threshold.Verdict)
			}
		}
		if !applied {
			return fmt.Errorf("no part %q of the server tells %q: see what there is with midge status --details --json", threshold.Part, threshold.Field)
		}
	}
	return nil
}

func (t Threshold) describe(value float64) string {
	than := "less"
	if t.Above {
		than = "more"
	}
	return fmt.Sprintf("%s is %s, %s than %s", t.Field, format(value), than, format(t.Bound))
}

func format(value float64) string { return strconv.FormatFloat(value, 'f', -1, 64) }

// number gives a number of a part: one of its own values, or one that every part has, or
// every part for which something waits.
func number(part api.StatusPart, field string, now int64) (float64, bool) {
	switch field {
	case "took_seconds":
		return part.TookSeconds, true
	case "failures_in_row":
		return float64(part.FailuresInRow), true
	case "age_seconds":
		if part.LastRun == 0 {
			return 0, false
		}
		return float64(now - part.LastRun), true
	case "backlog":
		if part.Backlog == nil {
			return 0, false
		}
		return *part.Backlog, true
	}
	value, ok := part.Values[field]
	return value, ok
}
