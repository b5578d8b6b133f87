package trace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	oteltrace "go.opentelemetry.io/otel/trace"
)

// RemoveBuilds removes the spans of those builds for which gone reports true, and
// says of how many builds that was. It goes on after an error and gives all of them.
func (s *Store) RemoveBuilds(gone func(build int) bool) (int, error) {
	traces, err := os.ReadDir(s.directory)
	if err != nil {
		return 0, fmt.Errorf("list traces: %w", err)
	}
	removed := 0
	var errs []error
	for _, entry := range traces {
		id, err := oteltrace.TraceIDFromHex(entry.Name())
		if err != nil {
			continue // not ours
		}
		builds, err := s.written(id)
		errs = append(errs, err)
		for _, build := range builds {
			if !gone(build) {
				continue
			}
			if err := s.RemoveBuild(id, build); err != nil {
				errs = append(errs, err)
				continue
			}
			removed++
		}
	}
	return removed, errors.Join(errs...)
}

// written gives the builds that a trace has files of, in no order.
func (s *Store) written(id oteltrace.TraceID) ([]int, error) {
	var builds []int
	entries, err := os.ReadDir(s.traceDir(id))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the builds of trace %s: %w", id, err)
	}
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), ".jsonl")
		if build, err := strconv.Atoi(name); ok && err == nil {
			builds = append(builds, build)
		}
	}
	return builds, nil
}
