package server

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"midge/client/clienttest"
	"midge/trace/otlp"
)

// docs/operations.md says of each part, and of each number of it, what to do.
func TestOperationsNameEveryPart(t *testing.T) {
	dir := shortDir(t)
	config := testConfig(dir)
	config.TLSCert, config.TLSKey = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	clienttest.NewAuthority(t).Issue(config.TLSCert, config.TLSKey, 1)
	config.Record = func(begin, keep func(otlp.Span)) (func(context.Context) error, error) {
		return func(context.Context) error { return nil }, nil
	}
	config.CollectInterval = time.Millisecond
	config.MinFreeSpace, config.StopFreeSpace = 1, 1
	s := mustServe(t, config)
	documented := documentedParts(t)
	waitForParts(t, s)
	for _, part := range s.parts.list() {
		name := part.Name
		if strings.HasPrefix(name, "worker ") {
			name = "worker NAME"
		}
		row, ok := documented[name]
		if !ok {
			t.Errorf("docs/operations.md has no part %q", name)
			continue
		}
		delete(documented, name)
		if backlog := strings.Contains(row, "its backlog"); backlog != (part.Backlog != nil) {
			t.Errorf("the part %s has the backlog %v, and that it has one docs/operations.md says: %v", name, part.Backlog, backlog)
		}
		if backlog := backlogs[name]; backlog != "" && !strings.Contains(row, "`"+backlog+"` (its backlog") {
			t.Errorf("docs/operations.md does not say that %s is the backlog of the part %s", backlog, name)
		}
		for value := range part.Values {
			if !strings.Contains(row, "`"+value+"`") {
				t.Errorf("docs/operations.md does not name the value %s of the part %s", value, name)
			}
		}
	}
	if len(documented) > 0 {
		t.Errorf("docs/operations.md has parts that there are not: %q", slices.Sorted(maps.Keys(documented)))
	}
}

// waitForParts waits until every part has reported.
func waitForParts(t *testing.T, s *Server) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		silent := ""
		for _, part := range s.parts.list() {
			if part.LastRun == 0 {
				silent = part.Name
			}
		}
		if silent == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the part %s does not report", silent)
		}
	}
}

// documentedParts gives the rows of the table of parts, by part.
func documentedParts(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "## Parts, and what to do")
	section, _, _ = strings.Cut(section, "\n## ")
	rows := make(map[string]string)
	for line := range strings.Lines(section) {
		if rest, ok := strings.CutPrefix(line, "| `"); ok {
			name, _, _ := strings.Cut(rest, "`")
			rows[name] = line
		}
	}
	if !found || len(rows) == 0 {
		t.Fatal("docs/operations.md has no table of parts")
	}
	return rows
}
