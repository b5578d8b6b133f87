package security

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Each package that starts goroutines has its tests find those that do not end.
func TestGoroutinesAreLookedAfter(t *testing.T) {
	starting := map[string]bool{}
	for path, file := range sources(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			call, _ := n.(*ast.CallExpr)
			if _, ok := n.(*ast.GoStmt); ok || call != nil && strings.HasSuffix(selector(call.Fun), ".Go") {
				starting[filepath.Dir(path)] = true
			}
			return true
		})
	}
	if len(starting) < 10 {
		t.Fatalf("only %d packages start goroutines", len(starting))
	}
	for dir := range starting {
		tests, err := filepath.Glob(filepath.Join("../..", dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(tests, func(path string) bool {
			text, err := os.ReadFile(path)
			return err == nil && bytes.Contains(text, []byte("goleak."))
		}) {
			t.Errorf("no test of %s finds goroutines that do not end", dir)
		}
	}
}

// selector gives package.Name or value.Method, "" for anything else.
func selector(expression ast.Expr) string {
	selected, ok := expression.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	of, _ := selected.X.(*ast.Ident)
	if of == nil {
		return "." + selected.Sel.Name
	}
	return of.Name + "." + selected.Sel.Name
}

// sources gives the module's programs, by path: not its tests, and what only these use.
func sources(t *testing.T) map[string]*ast.File {
	t.Helper()
	files := map[string]*ast.File{}
	const root = "../.."
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if entry.IsDir() && (slices.Contains([]string{"test", "runtime/runtimetest", "client/clienttest", "server/servertest"}, name) || strings.HasPrefix(entry.Name(), ".git")) {
			return filepath.SkipDir
		}
		if filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		files[name], err = parser.ParseFile(token.NewFileSet(), path, nil, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 100 {
		t.Fatalf("there are %d files", len(files))
	}
	return files
}
