package api

import (
	"fmt"
	"strings"
)

// Reference names a variable, and a field of its value: source:name.field.field.
type Reference struct {
	// Source is where the variable is from: "" the ordinary variables, "." those of the build.
	Source string
	Name   string
	Fields []string
}

// ParseReference reads what stands between the double parentheses of a variable.
// Parts with dots or colons in them are quoted, as in "a.b".c.
func ParseReference(text string) (Reference, error) {
	var ref Reference
	rest := text
	if source, name, ok := strings.Cut(text, ":"); ok && !strings.Contains(source, `"`) {
		ref.Source, rest = strings.TrimSpace(source), name
	}
	var parts []string
	for more := true; more; {
		var part string
		var err error
		if part, rest, more, err = cutPart(rest); err != nil {
			return Reference{}, fmt.Errorf("the variable %q: %w", text, err)
		}
		parts = append(parts, part)
	}
	ref.Name, ref.Fields = parts[0], parts[1:]
	return ref, nil
}

// cutPart cuts the first part off a reference; more tells that a dot followed.
func cutPart(text string) (part, rest string, more bool, err error) {
	trimmed := strings.TrimSpace(text)
	if !strings.HasPrefix(trimmed, `"`) {
		part, rest, more = strings.Cut(text, ".")
		part = strings.TrimSpace(part)
		switch {
		case part == "":
			err = fmt.Errorf("a part of its name is empty")
		case strings.Contains(part, `"`):
			err = fmt.Errorf("a quote stands in the middle of a part")
		case strings.Contains(part, ":"):
			err = fmt.Errorf("a part with a colon in it must be quoted")
		}
		return part, rest, more, err
	}
	part, rest, closed := strings.Cut(trimmed[1:], `"`)
	rest = strings.TrimSpace(rest)
	switch {
	case !closed:
		return "", "", false, fmt.Errorf("a quote is not closed")
	case part == "":
		return "", "", false, fmt.Errorf("a part of its name is empty")
	case rest == "":
		return part, "", false, nil
	case rest[0] != '.':
		return "", "", false, fmt.Errorf("a dot must follow a quoted part")
	}
	return part, rest[1:], true, nil
}

// String gives the reference as ParseReference reads it.
func (r Reference) String() string {
	var b strings.Builder
	if r.Source != "" {
		b.WriteString(r.Source + ":")
	}
	for i, part := range append([]string{r.Name}, r.Fields...) {
		if i > 0 {
			b.WriteByte('.')
		}
		if strings.ContainsAny(part, ".: /") || strings.TrimSpace(part) != part {
			part = `"` + part + `"`
		}
		b.WriteString(part)
	}
	return b.String()
}
