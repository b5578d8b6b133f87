package usage

import "strings"

// missingReason finds why a field is absent: its own reason, or that of a part it
// belongs to, or that of the whole.
func missingReason(missing map[string]string, field string) string {
	for {
		if why, ok := missing[field]; ok || field == "" {
			return why
		}
		field = field[:max(0, strings.LastIndexByte(field, '.'))]
	}
}
