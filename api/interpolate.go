package api

import (
	"regexp"
	"strings"
	"sync"
)

// variablePattern finds variables in a string. What does not look like one, as
// the $(( i + 1 )) of a shell, stays as it is.
var variablePattern = sync.OnceValue(func() *regexp.Regexp {
	// Not before it is needed: most commands start without.
	return regexp.MustCompile(`\(\(((?:[-/.\w\pL]+:)?[-/.:@"\w\pL]+)\)\)`)
})

// interpolate gives the document with its variables replaced by their values. A
// string that is a variable and nothing else becomes the value, whatever its
// type; in a longer string, and in the key of a map, values must be single ones.
// Values are taken as they are: what looks like a variable in them stays.
//
// Undefined variables are reported, and stand as undefined nodes.
func interpolate(root *node, variables Variables, problems *problems) *node {
	i := &interpolation{variables: variables, problems: problems, budget: maxNodes}
	result := i.node(root)
	if i.budget < 0 {
		problems.add(root.at, "", "there are more than %d values once the variables are replaced", maxNodes)
	}
	return result
}

type interpolation struct {
	variables Variables
	problems  *problems
	budget    int // how many nodes may still be made of values
}

func (i *interpolation) node(n *node) *node {
	switch n.kind {
	case mappingNode:
		fields := make([]field, len(n.fields))
		for j, f := range n.fields {
			fields[j] = field{name: i.key(f), at: f.at, value: i.node(f.value)}
		}
		return newMapping(n.at, fields)
	case sequenceNode:
		items := make([]*node, len(n.items))
		for j, item := range n.items {
			items[j] = i.node(item)
		}
		return newSequence(n.at, items)
	}
	text, ok := n.value.(string)
	if !ok {
		return n
	}
	if match := variablePattern().FindStringSubmatchIndex(text); match != nil && match[0] == 0 && match[1] == len(text) {
		value, ok := i.lookup(n.at, text[match[2]:match[3]], "")
		if !ok || i.budget < 0 {
			return newUndefined(n.at)
		}
		replaced := newNode(n.at, value)
		i.budget -= replaced.size
		return replaced
	}
	replaced, ok := i.text(n.at, text)
	if !ok {
		return newUndefined(n.at)
	}
	return newScalar(n.at, replaced)
}

func (i *interpolation) key(f field) string {
	name, _ := i.text(f.at, f.name)
	return name
}

// text replaces the variables within a string; false tells that one has no value.
func (i *interpolation) text(at position, text string) (string, bool) {
	var b strings.Builder
	complete, rest := true, 0
	for _, match := range variablePattern().FindAllStringSubmatchIndex(text, -1) {
		b.WriteString(text[rest:match[0]])
		rest = match[1]
		value, ok := i.lookup(at, text[match[2]:match[3]], text[:match[0]])
		if !ok {
			complete = false
			continue
		}
		n := newNode(at, value)
		if n.kind != scalarNode || n.value == nil {
			i.problems.add(at, "", "((%s)) is %s, and cannot stand within a string", text[match[2]:match[3]], n.describe())
			complete = false
			continue
		}
		b.WriteString(n.text())
	}
	b.WriteString(text[rest:])
	return b.String(), complete
}

// lookup finds a variable's value; before is what stands in front of it in its string.
func (i *interpolation) lookup(at position, name, before string) (any, bool) {
	ref, err := ParseReference(name)
	if err != nil {
		i.problems.add(at, "", "%v", err)
		return nil, false
	}
	value, missing := i.variables.lookup(ref)
	if missing != "" {
		if strings.HasSuffix(before, "$") {
			missing += " (for a shell's arithmetic put spaces inside the parentheses)"
		}
		i.problems.add(at, "", "%s", missing)
		return nil, false
	}
	return value, true
}
