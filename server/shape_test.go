package server_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// varying are the JSON fields whose values are another server's own: ids, times,
// names and addresses. Only their types are compared.
var varying = map[string]bool{
	"id": true, "build_id": true, "build_name": true, "api_url": true, "time": true,
	"start_time": true, "end_time": true, "created_at": true, "selected_worker": true, "worker_name": true,
	"working_directory": true, "message": true, "external_url": true, "access_token": true, "id_token": true,
	"expires_in": true, "cluster_name": true, "addr": true, "baggageclaim_url": true,
	"active_containers": true, "active_volumes": true,
}

// ours are the fields that only midge knows. A recording has none of them.
var ours = map[string]bool{
	"midge": true, "create_time": true, "created_by": true, "trace_id": true, "digest": true,
	"files": true, "bytes": true, "runtime": true, "task": true,
	"expires_in": true, // Concourse's too, but not of a container that it has just made
}

// workingDirectory is that of a task, whose last part each server makes up.
var workingDirectory = regexp.MustCompile(`/tmp/build/[0-9a-f]{8}`)

// differences compares JSON with what was recorded, and says in lines what differs
// beyond what may.
func differences(path string, got, want any) []string {
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s is %v, recorded was an object", path, got)}
		}
		return objectDifferences(path, object, want)
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return []string{fmt.Sprintf("%s is %v, recorded was a list of %d", path, got, len(want))}
		}
		var lines []string
		for i := range want {
			lines = append(lines, differences(fmt.Sprintf("%s[%d]", path, i), list[i], want[i])...)
		}
		return lines
	}
	name := path[strings.LastIndex(path, ".")+1:]
	if varying[name] && fmt.Sprintf("%T", got) == fmt.Sprintf("%T", want) {
		return nil
	}
	if text, ok := got.(string); ok {
		got = workingDirectory.ReplaceAllString(text, "/tmp/build/b1dda4c3")
	}
	if got != want && !(name == "name" && isNumber(got) && isNumber(want)) {
		return []string{fmt.Sprintf("%s is %#v, recorded was %#v", path, got, want)}
	}
	return nil
}

// isNumber reports whether a value is a number in a string, as the name of a one-off build is.
func isNumber(value any) bool {
	text, ok := value.(string)
	_, err := strconv.Atoi(text)
	return ok && err == nil
}

func objectDifferences(path string, got, want map[string]any) []string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		value, ok := got[name]
		if !ok {
			lines = append(lines, fmt.Sprintf("%s.%s is missing", path, name))
			continue
		}
		lines = append(lines, differences(path+"."+name, value, want[name])...)
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok && !ours[name] {
			lines = append(lines, fmt.Sprintf("%s.%s is %v, recorded was no such field", path, name, got[name]))
		}
	}
	return lines
}

// jsonDifferences is differences of JSON texts.
func jsonDifferences(got, want string) []string {
	var gotValue, wantValue any
	if err := json.Unmarshal([]byte(want), &wantValue); err != nil {
		return []string{fmt.Sprintf("the recording is no JSON: %v", err)}
	}
	if err := json.Unmarshal([]byte(got), &gotValue); err != nil {
		return []string{fmt.Sprintf("the body is no JSON: %v: %s", err, got)}
	}
	return differences("", gotValue, wantValue)
}
