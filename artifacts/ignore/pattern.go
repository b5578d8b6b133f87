package ignore

import (
	"bytes"
	"strings"
)

// pattern is a line of an ignore file, ready to be matched.
type pattern struct {
	rule     Rule
	negated  bool // it takes back what earlier lines ignore
	dirsOnly bool
	// anywhere: it has one component, which is compared with the last name of a path.
	anywhere   bool
	components []glob
	never      bool // it is malformed, and matches nothing
}

// parseFile reads an ignore file. source is what its rules are reported under.
func parseFile(source string, content []byte) []pattern {
	content = bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))
	var patterns []pattern
	line := 0
	for text := range strings.SplitSeq(string(content), "\n") {
		line++
		text = strings.TrimSuffix(text, "\r")
		if strings.HasPrefix(text, "#") {
			continue
		}
		text = trimSpaces(text)
		if p, ok := parsePattern(text); ok {
			p.rule = Rule{Source: source, Line: line, Pattern: text}
			patterns = append(patterns, p)
		}
	}
	return patterns
}

// trimSpaces takes off the spaces at the end that no backslash stands before.
func trimSpaces(s string) string {
	end := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ' ':
			continue
		case '\\':
			i++
		}
		end = min(i+1, len(s))
	}
	return s[:end]
}

func parsePattern(s string) (pattern, bool) {
	var p pattern
	if rest, ok := strings.CutPrefix(s, "!"); ok {
		p.negated, s = true, rest
	}
	if rest, ok := strings.CutSuffix(s, "/"); ok {
		p.dirsOnly, s = true, rest
	}
	if s == "" {
		// A slash alone names the directory itself, which nobody asks about.
		return pattern{}, false
	}
	p.anywhere = !strings.Contains(s, "/")
	p.components, p.never = parseGlobs(strings.TrimPrefix(s, "/"))
	if p.anywhere && len(p.components) == 1 && p.components[0] == nil {
		p.components[0] = glob{{kind: star}}
	}
	return p, true
}

// matches reports whether the pattern names a path, relative to the directory of
// its file. names are the path's.
func (p *pattern) matches(names []string, isDir bool) bool {
	if p.never || p.dirsOnly && !isDir {
		return false
	}
	if p.anywhere {
		return p.components[0].matches(names[len(names)-1])
	}
	return matchComponents(p.components, names)
}

// matchComponents matches a path name by name. A nil glob stands for **: any
// number of directories, or at the end whatever is inside.
func matchComponents(globs []glob, names []string) bool {
	for len(globs) > 0 {
		if globs[0] == nil {
			if len(globs) == 1 {
				return len(names) > 0
			}
			for skip := range len(names) {
				if matchComponents(globs[1:], names[skip:]) {
					return true
				}
			}
			return false
		}
		if len(names) == 0 || !globs[0].matches(names[0]) {
			return false
		}
		globs, names = globs[1:], names[1:]
	}
	return len(names) == 0
}
