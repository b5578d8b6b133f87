package server

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// findingFiles are where the texts of findings are, each with the functions there whose
// errors become one; nil is all of them.
var findingFiles = map[string][]string{
	"parts.go":                         nil,
	"room.go":                          {"makeRoom"},
	"certificate.go":                   {"status"},
	"collect.go":                       nil,
	"disk.go":                          nil,
	"machine.go":                       nil,
	"status.go":                        nil,
	"engine/collect.go":                nil,
	"../health/thresholds.go":          {"describe"},
	"../runtime/kubernetes/request.go": {"explainRequest"},
	"../runtime/kubernetes/worker.go":  {"podsWith"},
	"../runtime/runc/worker.go":        {"CheckRuntime"},
}

// docs/operations.md says of each text that a finding may have what it means and what to
// do, and of no other.
func TestOperationsExplainEveryFinding(t *testing.T) {
	inCode := make(map[string]string)
	for path, functions := range findingFiles {
		for _, text := range findingTexts(t, path, functions) {
			inCode[text] = path
		}
	}
	documented := documentedFindings(t)
	for text, path := range inCode {
		if !documented[text] {
			t.Errorf("docs/operations.md does not explain %q, of %s", text, path)
		}
	}
	for text := range documented {
		if inCode[text] == "" {
			t.Errorf("docs/operations.md explains %q, which nothing says", text)
		}
	}
}

// verb is what fmt puts something else in for.
var verb = regexp.MustCompile(`%[-+# 0-9.]*[a-zA-Z]`)

// findingTexts gives the texts of findings and of errors that are made in functions of
// a file, with an ellipsis for what differs.
func findingTexts(t *testing.T, path string, functions []string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, declaration := range file.Decls {
		function, ok := declaration.(*ast.FuncDecl)
		if !ok || functions != nil && !slices.Contains(functions, function.Name.Name) {
			continue
		}
		ast.Inspect(function, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if ok && len(call.Args) > 0 {
				name, _ := call.Fun.(*ast.SelectorExpr)
				if name != nil && (name.Sel.Name == "Errorf" || name.Sel.Name == "Sprintf") {
					texts = append(texts, constantText(t, call.Args[0]))
				}
			}
			if literal, ok := n.(*ast.CompositeLit); ok && len(literal.Elts) == 2 {
				if sum, ok := literal.Elts[1].(*ast.BinaryExpr); ok {
					texts = append(texts, constantText(t, sum.X)+"…")
				}
			}
			return true
		})
	}
	if len(texts) == 0 {
		t.Errorf("%s has no finding any more in %q", path, functions)
	}
	return texts
}

func constantText(t *testing.T, expression ast.Expr) string {
	t.Helper()
	literal, ok := expression.(*ast.BasicLit)
	if !ok {
		t.Fatalf("the text of a finding is no literal: %#v", expression)
	}
	text, err := strconv.Unquote(literal.Value)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(verb.ReplaceAllString(strings.ReplaceAll(text, "%%", "\x00"), "…"), "\x00", "%")
}

// documentedFindings gives what the table of findings begins its rows with.
func documentedFindings(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Findings\n")
	section, _, _ = strings.Cut(section, "\n## ")
	findings := make(map[string]bool)
	for line := range strings.Lines(section) {
		if rest, ok := strings.CutPrefix(line, "| `"); ok {
			name, rest, _ := strings.Cut(rest, "`")
			findings[name] = true
			if cells := strings.Split(strings.Trim(rest, "| \n"), " | "); len(cells) != 2 {
				t.Errorf("the finding %q has %d cells, want what it means and what to do", name, len(cells))
			}
		}
	}
	if !found || len(findings) == 0 {
		t.Fatal("docs/operations.md has no table of findings")
	}
	return findings
}
