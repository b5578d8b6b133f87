package pid1

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFindExecutable(t *testing.T) {
	dir := t.TempDir()
	for path, mode := range map[string]os.FileMode{"bin/tool": 0o755, "bin/plain": 0o644, "sbin/plain": 0o755, "here": 0o755} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct{ path, pathVariable, want, err string }{
		{path: "tool", pathVariable: dir + "/sbin:" + dir + "/bin", want: dir + "/bin/tool"},
		{path: "tool", pathVariable: "sbin:bin", want: dir + "/bin/tool"},
		{path: "plain", pathVariable: dir + "/bin:" + dir + "/sbin", want: dir + "/sbin/plain"},
		{path: "plain", pathVariable: dir + "/bin", err: "is not executable"},
		{path: "./here", want: dir + "/here"},
		{path: "bin/tool", want: dir + "/bin/tool"},
		{path: dir + "/here", want: dir + "/here"},
		{path: "here", pathVariable: dir + "/bin", err: "to be run as ./here"},
		{path: "bin", pathVariable: dir, err: "is a directory"},
		{path: "here/below", err: dir + "/here is no directory"},
		{path: "tool -x", pathVariable: dir + "/bin", err: `"tool -x" is not found in PATH (` + dir + `/bin); if tool is meant, "-x" is for its arguments`},
		{path: "./here -x y", err: `"-x y" is for its arguments`},
		{path: "./none -x", err: "none -x does not exist; " + dir + " has "},
		{path: "", err: "has no run.path"},
	}
	for _, test := range tests {
		got, failure := findExecutable(test.path, dir, test.pathVariable)
		if test.err != "" {
			if failure == nil || !strings.Contains(failure.Message, test.err) {
				t.Errorf("%q in %q: %v, want an error with %q", test.path, test.pathVariable, failure, test.err)
			}
			continue
		}
		if failure != nil || got != test.want {
			t.Errorf("%q in %q is %q (%v), want %q", test.path, test.pathVariable, got, failure, test.want)
		}
	}
}

func TestDescribeDirectory(t *testing.T) {
	dir := t.TempDir()
	if got, want := describeDirectory(dir), dir+" is empty"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for i := range 25 {
		if err := os.Mkdir(filepath.Join(dir, fmt.Sprintf("d%02d", i)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	got := describeDirectory(dir)
	if !strings.HasPrefix(got, dir+" has d00/ d01/") || !strings.HasSuffix(got, " d19/ and more") {
		t.Errorf("%q", got)
	}
}

func TestParseInterpreter(t *testing.T) {
	for line, want := range map[string]string{
		"#!/bin/sh\n":            "/bin/sh",
		"#! \t/bin/sh -e\n":      "/bin/sh",
		"#!/usr/bin/env python3": "/usr/bin/env",
		"#!/bin/sh\r\n":          `/bin/sh\r (the file has Windows line ends)`,
		"#!\n":                   "",
		"":                       "",
		"#/bin/sh":               "",
		"\x7fELF":                "",
	} {
		if got := parseInterpreter(line); got != want {
			t.Errorf("the interpreter of %q is %q, want %q", line, got, want)
		}
	}
}

func FuzzParseInterpreter(f *testing.F) {
	f.Add("#!/bin/sh -e\n")
	f.Add("#!\r")
	f.Fuzz(func(t *testing.T, line string) {
		if got := parseInterpreter(line); got != "" && !strings.HasPrefix(line, "#!") {
			t.Errorf("%q has the interpreter %q", line, got)
		}
	})
}
