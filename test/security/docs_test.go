package security

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// named is a test that the document names, after its package when that is not this one.
	named    = regexp.MustCompile("`(?:([a-z0-9/]+)\\.)?((?:Test|Fuzz)[A-Za-z0-9]+)")
	declared = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9]+)\(`)
)

// docs/security.md names every test of this package, and none that there is not.
func TestEveryAttackIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, match := range named.FindAllStringSubmatch(string(text), -1) {
		dir := "."
		if match[1] != "" {
			dir = filepath.Join("../..", match[1])
		}
		if !testsIn(t, dir)[match[2]] {
			t.Errorf("there is no %s in %s", match[2], dir)
		}
		documented[match[2]] = true
	}
	for test := range testsIn(t, ".") {
		if !documented[test] && test != "TestMain" && test != "TestGoroutinesAreLookedAfter" && test != t.Name() {
			t.Errorf("docs/security.md does not name %s", test)
		}
	}
	for attack := range attacks {
		if name := strings.ReplaceAll(attack, " ", "_"); !strings.Contains(string(text), "/"+name+"`") {
			t.Errorf("docs/security.md does not name the attack %s", name)
		}
	}
}

// testsIn gives the tests and fuzz targets of a directory.
func testsIn(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range declared.FindAllStringSubmatch(string(text), -1) {
			tests[match[1]] = true
		}
	}
	return tests
}
