package api

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// MaxFileSize bounds a task or variables file, in bytes. Of a larger one it is enough to
// read one byte more, to be told so.
const MaxFileSize = 1 << 20

// maxTokens bounds what the YAML parser is given; its time grows faster than its input.
const maxTokens = 60_000

// parseYAML reads the one document of a file. What is wrong with it is in the
// problems; it gives nil when there is nothing to go on with.
func parseYAML(problems *problems, data []byte) *node {
	start := position{1, 1}
	if len(data) > MaxFileSize {
		problems.add(start, "", "the file has more than the %d bytes that are read: is this the right file?", MaxFileSize)
		return nil
	}
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))
	if at, ok := invalidUTF8(data); ok {
		problems.add(at, "", "this is not UTF-8 text, so it is not YAML: is this the right file?")
		return nil
	}
	tokens := lexer.Tokenize(string(data))
	if len(tokens) > maxTokens {
		problems.add(start, "", "the file has more than %d values and signs: is this the right file?", maxTokens)
		return nil
	}
	if at, ok := tooDeep(tokens); ok {
		problems.add(at, "", "lists and maps are nested more than %d deep here", maxDepth)
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		at, message := syntaxError(err)
		problems.add(at, "", "this is not YAML: %s", message)
		return nil
	}
	return oneDocument(problems, file)
}

// oneDocument gives the only document of a file.
func oneDocument(problems *problems, file *ast.File) *node {
	var bodies []ast.Node
	for _, document := range file.Docs {
		switch document.Body.(type) {
		case nil, *ast.DirectiveNode, *ast.CommentGroupNode:
		default:
			bodies = append(bodies, document.Body)
		}
	}
	if len(bodies) == 0 {
		problems.add(position{1, 1}, "", "the file is empty")
		return nil
	}
	if len(bodies) > 1 {
		at := tokenPosition(bodies[1].GetToken())
		problems.add(position{at.line, 1}, "", "a second document begins here, and one is all that is read: remove the lines from --- on")
		return nil
	}
	reader := yamlReader{problems: problems, anchors: map[string]*node{}}
	root := reader.read(bodies[0])
	if reader.tooDeep {
		return nil
	}
	if root.size > maxNodes {
		problems.add(root.at, "", "the file has more than %d values once its aliases are followed", maxNodes)
		return nil
	}
	return root
}

func invalidUTF8(data []byte) (position, bool) {
	if utf8.Valid(data) {
		return position{}, false
	}
	at := position{1, 1}
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		if r == utf8.RuneError && size == 1 {
			break
		}
		at.column++
		if r == '\n' {
			at.line, at.column = at.line+1, 1
		}
		data = data[size:]
	}
	return at, true
}

// tooDeep finds nesting that would have the parser recurse without bound. Nesting
// by indentation alone is bounded by the size of the file.
func tooDeep(tokens token.Tokens) (position, bool) {
	flow, onLine, line := 0, 0, 0
	for _, t := range tokens {
		if flow == 0 && t.Position.Line != line {
			onLine, line = 0, t.Position.Line
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
			onLine = 0
		case token.SequenceEndType, token.MappingEndType:
			flow--
			onLine = 0
		case token.CollectEntryType:
			onLine = 0
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType,
			token.AnchorType, token.AliasType, token.TagType:
			onLine++
		}
		if flow > maxDepth || onLine > maxDepth {
			return tokenPosition(t), true
		}
	}
	return position{}, false
}

// syntaxError takes the place and the sentence out of the parser's error.
func syntaxError(err error) (position, string) {
	var placed interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if errors.As(err, &placed) {
		message := placed.GetMessage()
		if strings.Contains(message, "'\t'") {
			message = "a tab is here, and lines are indented by spaces"
		}
		return tokenPosition(placed.GetToken()), message
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	return position{1, 1}, first
}

func tokenPosition(t *token.Token) position {
	if t == nil || t.Position == nil {
		return position{1, 1}
	}
	return position{t.Position.Line, t.Position.Column}
}

// yamlReader makes nodes of a syntax tree.
type yamlReader struct {
	problems *problems
	anchors  map[string]*node
	depth    int
	tooDeep  bool
}

func (r *yamlReader) read(syntax ast.Node) *node {
	if syntax == nil {
		return newScalar(position{1, 1}, nil)
	}
	at := tokenPosition(syntax.GetToken())
	// Nesting by indentation reaches here without having been counted.
	r.depth++
	defer func() { r.depth-- }()
	if r.depth > maxDepth {
		if !r.tooDeep {
			r.problems.add(at, "", "lists and maps are nested more than %d deep here", maxDepth)
		}
		r.tooDeep = true
		return newScalar(at, nil)
	}
	switch syntax := syntax.(type) {
	case *ast.MappingNode:
		return r.mapping(at, syntax.Values)
	case *ast.MappingValueNode:
		return r.mapping(at, []*ast.MappingValueNode{syntax})
	case *ast.SequenceNode:
		items := make([]*node, len(syntax.Values))
		for i, value := range syntax.Values {
			items[i] = r.read(value)
		}
		return newSequence(at, items)
	case *ast.AnchorNode:
		value := r.read(syntax.Value)
		r.anchors[nodeText(syntax.Name)] = value
		return value
	case *ast.AliasNode:
		name := nodeText(syntax.Value)
		value, ok := r.anchors[name]
		if !ok {
			r.problems.add(at, "", "no anchor &%s comes before this alias", name)
			return newScalar(at, nil)
		}
		return value
	case *ast.TagNode:
		return r.tagged(at, syntax)
	}
	return newScalar(at, scalarValue(syntax))
}

func nodeText(syntax ast.Node) string {
	if syntax == nil || syntax.GetToken() == nil {
		return ""
	}
	return syntax.GetToken().Value
}

func scalarValue(syntax ast.Node) any {
	switch syntax := syntax.(type) {
	case *ast.NullNode:
		return nil
	case *ast.BoolNode:
		return syntax.Value
	case *ast.IntegerNode:
		return syntax.Value
	case *ast.FloatNode:
		return syntax.Value
	case *ast.StringNode:
		return syntax.Value
	case *ast.LiteralNode:
		return syntax.Value.Value
	}
	// Infinities and NaN, which JSON lacks, are their text.
	return nodeText(syntax)
}

// tagged reads a value with an explicit type.
func (r *yamlReader) tagged(at position, syntax *ast.TagNode) *node {
	value := r.read(syntax.Value)
	tag := syntax.Start.Value
	switch tag {
	case "!!str":
		if value.kind != scalarNode {
			r.problems.add(at, "", "!!str stands before %s", value.describe())
			return value
		}
		if _, isText := value.value.(string); !isText {
			return newScalar(at, nodeText(syntax.Value))
		}
	case "!!int", "!!float":
		if text, isText := value.value.(string); isText {
			f, err := strconv.ParseFloat(text, 64)
			if err != nil {
				r.problems.add(at, "", "%s stands before %q, which is no number", tag, text)
				return value
			}
			return newScalar(at, f)
		}
	case "!!bool", "!!null", "!!map", "!!seq", "!!merge":
	default:
		r.problems.add(at, "", "the tag %s is not understood here: remove it", tag)
	}
	return value
}

func (r *yamlReader) mapping(at position, syntax []*ast.MappingValueNode) *node {
	var fields, merged []field
	seen := map[string]position{}
	if len(syntax) > 0 {
		at = tokenPosition(syntax[0].Key.GetToken())
	}
	for _, entry := range syntax {
		keyAt := tokenPosition(entry.Key.GetToken())
		if entry.Key.IsMergeKey() {
			merged = append(merged, r.merge(keyAt, r.read(entry.Value))...)
			continue
		}
		name, ok := r.key(entry.Key)
		if !ok {
			r.problems.add(keyAt, "", "a key must be a string")
			continue
		}
		if first, twice := seen[name]; twice {
			r.problems.add(keyAt, "", "%q is here a second time; the first is on line %d", name, first.line)
			continue
		}
		seen[name] = keyAt
		fields = append(fields, field{name: name, at: keyAt, value: r.read(entry.Value)})
	}
	for _, f := range merged {
		if _, present := seen[f.name]; !present {
			seen[f.name] = f.at
			fields = append(fields, f)
		}
	}
	return newMapping(at, fields)
}

// key gives the text of a map's key.
func (r *yamlReader) key(syntax ast.MapKeyNode) (string, bool) {
	switch syntax := syntax.(type) {
	case *ast.MappingKeyNode:
		inner := r.read(syntax.Value)
		return inner.text(), inner.kind == scalarNode
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		inner := r.read(syntax)
		return inner.text(), inner.kind == scalarNode
	}
	if text, ok := scalarValue(syntax).(string); ok {
		return text, true
	}
	return nodeText(syntax), true
}

// merge gives the fields that a merge key brings: those of a map, or of each map
// of a list, the earlier going before the later.
func (r *yamlReader) merge(at position, value *node) []field {
	switch value.kind {
	case mappingNode:
		return value.fields
	case sequenceNode:
		var fields []field
		for _, item := range value.items {
			if item.kind != mappingNode {
				r.problems.add(at, "", "<< merges maps alone, and this list has %s in it", item.describe())
				continue
			}
			if fields = append(fields, item.fields...); len(fields) > maxNodes {
				r.problems.add(at, "", "<< merges more than %d fields here", maxNodes)
				return nil
			}
		}
		return fields
	}
	r.problems.add(at, "", "<< merges a map, and this is %s", value.describe())
	return nil
}
