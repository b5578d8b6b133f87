package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
)

// node is a value of a document: what a YAML file or a JSON body says, with
// its place. Nodes are never changed once made, so aliases share them.
type node struct {
	kind   nodeKind
	value  any // of a scalar: nil, bool, int64, uint64, float64 or string
	fields []field
	items  []*node
	at     position
	// size counts the nodes from here down, those below aliases each time.
	size int
}

type field struct {
	name  string
	at    position
	value *node
}

type nodeKind int

const (
	scalarNode nodeKind = iota
	mappingNode
	sequenceNode
	// undefinedNode stands where a variable has no value. That was reported
	// when it was looked up; whoever reads it reports no more.
	undefinedNode
)

// maxNodes bounds a document, what aliases and variables repeat counted each
// time. A task file has some dozens.
const maxNodes = 100_000

// maxDepth bounds how deep lists, maps and plans are nested.
const maxDepth = 100

// newScalar makes a node of a single value. Numbers that JSON does not have
// become their text.
func newScalar(at position, value any) *node {
	if f, ok := value.(float64); ok {
		switch {
		case math.IsInf(f, 1):
			value = ".inf"
		case math.IsInf(f, -1):
			value = "-.inf"
		case math.IsNaN(f):
			value = ".nan"
		}
	}
	return &node{kind: scalarNode, value: value, at: at, size: 1}
}

func newUndefined(at position) *node {
	return &node{kind: undefinedNode, at: at, size: 1}
}

func newSequence(at position, items []*node) *node {
	n := &node{kind: sequenceNode, items: items, at: at, size: 1}
	for _, item := range items {
		n.size = addSize(n.size, item.size)
	}
	return n
}

func newMapping(at position, fields []field) *node {
	n := &node{kind: mappingNode, fields: fields, at: at, size: 1}
	for _, f := range fields {
		n.size = addSize(n.size, f.value.size)
	}
	return n
}

// addSize stops at the bound, where a sum of sums would overflow.
func addSize(a, b int) int { return min(a+b, maxNodes+1) }

// newNode makes a node of a value as encoding/json decodes it, or as node.decoded gives it.
func newNode(at position, value any) *node {
	switch value := value.(type) {
	case map[string]any:
		fields := make([]field, 0, len(value))
		for _, name := range slices.Sorted(maps.Keys(value)) {
			fields = append(fields, field{name: name, at: at, value: newNode(at, value[name])})
		}
		return newMapping(at, fields)
	case []any:
		items := make([]*node, len(value))
		for i, item := range value {
			items[i] = newNode(at, item)
		}
		return newSequence(at, items)
	case json.Number:
		return newScalar(at, number(value))
	case int:
		return newScalar(at, int64(value))
	case nil, bool, int64, uint64, float64, string:
		return newScalar(at, value)
	}
	return newScalar(at, fmt.Sprint(value))
}

// number gives the most exact of int64, uint64 and float64.
func number(n json.Number) any {
	if i, err := strconv.ParseInt(n.String(), 10, 64); err == nil {
		return i
	}
	if u, err := strconv.ParseUint(n.String(), 10, 64); err == nil {
		return u
	}
	if f, err := n.Float64(); err == nil {
		return f
	}
	return n.String()
}

// decoded gives the node as maps, lists and scalars.
func (n *node) decoded() any {
	switch n.kind {
	case mappingNode:
		decoded := make(map[string]any, len(n.fields))
		for _, f := range n.fields {
			decoded[f.name] = f.value.decoded()
		}
		return decoded
	case sequenceNode:
		decoded := make([]any, len(n.items))
		for i, item := range n.items {
			decoded[i] = item.decoded()
		}
		return decoded
	case undefinedNode:
		return nil
	}
	return n.value
}

// text gives the node as a string: null is empty, numbers are written as JSON
// writes them, lists and maps as JSON.
func (n *node) text() string {
	if n.kind == undefinedNode || n.kind == scalarNode && n.value == nil {
		return ""
	}
	if s, ok := n.value.(string); ok {
		return s
	}
	encoded, err := json.Marshal(n.decoded())
	if err != nil {
		// newScalar lets in nothing that JSON lacks.
		panic(fmt.Sprintf("api: encode a node: %v", err))
	}
	return string(encoded)
}

// describe names the kind of a node for a sentence.
func (n *node) describe() string {
	switch n.kind {
	case mappingNode:
		return "a map"
	case sequenceNode:
		return "a list"
	}
	switch n.value.(type) {
	case nil:
		return "empty"
	case bool:
		return "a boolean"
	case string:
		return "a string"
	}
	return "a number"
}
