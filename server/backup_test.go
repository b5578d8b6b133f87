package server_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"midge/api"
	"midge/server"
	"midge/server/servertest"
)

// A backup that is made while builds run makes a server with the same history.
func TestBackupAndRestore(t *testing.T) {
	s := startServer(t, servertest.Options{})
	someone := testUser(t, s)
	archive := string(tarOf(t, map[string]string{"file": "kept in the backup"}))
	var artifact api.Artifact
	decode(t, someone.want(http.StatusCreated, "POST", "/api/v1/teams/main/artifacts", archive), &artifact)
	done := someone.build(script("echo of the build that ended"))
	someone.finish(done.ID)
	running := someone.build(script("sleep 1000"))
	backup := []byte(someone.want(http.StatusOK, "GET", "/api/v1/backup", ""))
	if left, err := filepath.Glob(filepath.Join(s.DataDir, "backup*")); err != nil || len(left) != 0 {
		t.Errorf("the backup has left %v (%v)", left, err)
	}
	later := someone.build(script("true")) // it is not in the backup
	someone.finish(later.ID)
	someone.want(http.StatusNoContent, "PUT", fmt.Sprintf("/api/v1/builds/%d/abort", running.ID), "")
	someone.finish(running.ID)

	restored := startServer(t, servertest.Options{Configure: func(config *server.Config) {
		if checked, err := server.Restore(bytes.NewReader(backup), config.DataDir); err != nil || !checked {
			t.Fatalf("it is restored: %v, and checked: %v", err, checked)
		}
	}})
	again := testUser(t, restored)
	if events := again.want(http.StatusOK, "GET", fmt.Sprintf("/api/v1/builds/%d/events", done.ID), ""); !strings.Contains(events, "of the build that ended") {
		t.Errorf("the log of a build is %q", events)
	}
	if file := again.want(http.StatusOK, "GET", fmt.Sprintf("/api/v1/teams/main/artifacts/%d?file=file", artifact.ID), ""); file != "kept in the backup" {
		t.Errorf("the artifact's file is %q", file)
	}
	again.want(http.StatusNotFound, "GET", fmt.Sprintf("/api/v1/builds/%d", later.ID), "")
	// What ran does not run here, and ends.
	again.want(http.StatusNoContent, "PUT", fmt.Sprintf("/api/v1/builds/%d/abort", running.ID), "")
	again.finish(running.ID)
	if _, err := server.Restore(bytes.NewReader(backup), restored.DataDir); err == nil || !strings.Contains(err.Error(), "there is something in") {
		t.Errorf("over a data dir that is in use it is restored: %v", err)
	}
	entries := entriesOf(t, backup)
	other := slices.Clone(entries)
	other[0].content = slices.Clone(other[0].content)
	other[0].content[len(other[0].content)-1] ^= 1
	for _, bad := range []struct{ name, backup, want string }{
		{"half a backup", string(backup[:len(backup)/2]), "it ends too soon"},
		{"an empty backup", "", "it ends too soon"},
		{"no backup", strings.Repeat("no backup", 1000), "it is no tar archive, or damaged"},
		{"a backup with another content", archived(t, other, true), "it is damaged"},
		{"a backup without an entry", archived(t, slices.Concat(entries[:1], entries[2:]), true), "it is damaged"},
		{"a backup with two ends", archived(t, append(slices.Clone(entries), entries[len(entries)-1]), true), "it is damaged"},
		{"a backup that is cut before its end", archived(t, entries[:len(entries)-1], false), "it ends too soon"},
		{"a backup that is cut after its end", archived(t, entries, false), "it ends too soon"},
		{"a backup that is cut between two entries", archived(t, entries[:len(entries)/2], false), "it ends too soon"},
		{"a database alone", archived(t, entries[:1], false), "it ends too soon"},
	} {
		made, empty := filepath.Join(t.TempDir(), "made"), t.TempDir()
		for _, dir := range []string{made, empty} {
			if _, err := server.Restore(strings.NewReader(bad.backup), dir); err == nil || !strings.Contains(err.Error(), bad.want) {
				t.Errorf("%s is restored: %v", bad.name, err)
			}
			if left, err := os.ReadDir(dir); len(left) > 0 || (err == nil) != (dir == empty) {
				t.Errorf("of %s there is %v left in %s (%v)", bad.name, left, dir, err)
			}
		}
	}
	if info, err := os.Stat(filepath.Join(restored.DataDir, "midge.db")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the database has mode %v (%v)", info.Mode(), err)
	}
}

// Backups of versions that did not write down what a backup holds are restored all the same.
func TestRestoreOfAnEarlierBackup(t *testing.T) {
	s := startServer(t, servertest.Options{})
	entries := entriesOf(t, []byte(testUser(t, s).want(http.StatusOK, "GET", "/api/v1/backup", "")))
	dir := t.TempDir()
	checked, err := server.Restore(strings.NewReader(archived(t, entries[:len(entries)-1], true)), dir)
	if err != nil || checked {
		t.Errorf("it is restored: %v, and checked: %v", err, checked)
	}
	if _, err := os.Stat(filepath.Join(dir, "midge.db")); err != nil {
		t.Error(err)
	}
}

// An entry is one of a backup.
type entry struct {
	header  *tar.Header
	content []byte
}

func entriesOf(t *testing.T, backup []byte) []entry {
	t.Helper()
	var entries []entry
	for archive := tar.NewReader(bytes.NewReader(backup)); ; {
		header, err := archive.Next()
		if err == io.EOF {
			return entries
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, entry{header, content})
	}
}

// archived gives an archive of entries, cut off after the last one where it is not to be whole.
func archived(t *testing.T, entries []entry, whole bool) string {
	t.Helper()
	var backup bytes.Buffer
	archive := tar.NewWriter(&backup)
	for _, entry := range entries {
		if err := archive.WriteHeader(entry.header); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write(entry.content); err != nil {
			t.Fatal(err)
		}
	}
	end := archive.Flush
	if whole {
		end = archive.Close
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	return backup.String()
}

func TestBackupIsForAdministrators(t *testing.T) {
	s := startServer(t, servertest.Options{Configure: withTeams})
	logIn(t, s, "owner", "secret").want(http.StatusForbidden, "GET", "/api/v1/backup", "")
	(&user{t: t, url: s.URL}).want(http.StatusUnauthorized, "GET", "/api/v1/backup", "")
}
