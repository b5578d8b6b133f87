package state

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// What a statement finds damaged is known from then on, and what is whole is read.
func TestDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "midge.db")
	db, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	var page, pageSize int
	if err := db.reader.QueryRow(`SELECT rootpage FROM sqlite_master WHERE name = 'wall'`).Scan(&page); err != nil {
		t.Fatal(err)
	}
	if err := db.reader.QueryRow(`PRAGMA page_size`).Scan(&pageSize); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(content[(page-1)*pageSize:], bytes.Repeat([]byte{0xa5}, pageSize))
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}

	if db, err = Open(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.EnsureTeam(t.Context(), "main"); err != nil {
		t.Error(err)
	}
	if err := db.Damage(); err != nil {
		t.Errorf("nothing that is damaged was read, and it says %v", err)
	}
	if _, err := db.Wall(t.Context()); !IsDamaged(err) {
		t.Errorf("reading what is damaged gives %v", err)
	}
	if err := db.Damage(); !IsDamaged(err) {
		t.Errorf("of what is damaged it says %v", err)
	}
	if _, err := db.EnsureTeam(t.Context(), "other"); err != nil {
		t.Error(err)
	}
}

func TestIsDamaged(t *testing.T) {
	if IsDamaged(nil) || IsDamaged(os.ErrNotExist) {
		t.Error("an error of no database is taken for damage")
	}
	path := filepath.Join(t.TempDir(), "midge.db")
	if err := os.WriteFile(path, bytes.Repeat([]byte("no database. "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path); !IsDamaged(err) {
		t.Errorf("a file that is no database gives %v", err)
	}
}
