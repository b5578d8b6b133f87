package weigh

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, path string, bytes int) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, make([]byte, bytes), 0o600); err != nil {
		t.Fatal(err)
	}
}

func weighed(t *testing.T, dirs ...string) uint64 {
	t.Helper()
	bytes, err := Directories(t.Context(), dirs...)
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

func TestDirectories(t *testing.T) {
	const megabyte = 1 << 20
	tests := []struct {
		name string
		make func(t *testing.T, dir string) error
		want uint64 // megabytes
	}{
		{"nothing", func(*testing.T, string) error { return nil }, 0},
		{"files", func(t *testing.T, dir string) error {
			write(t, filepath.Join(dir, "a"), megabyte)
			write(t, filepath.Join(dir, "d/e/b"), 2*megabyte)
			return nil
		}, 3},
		{"a file with two names", func(t *testing.T, dir string) error {
			write(t, filepath.Join(dir, "d/a"), megabyte)
			return os.Link(filepath.Join(dir, "d/a"), filepath.Join(dir, "b"))
		}, 1},
		{"a sparse file", func(t *testing.T, dir string) error {
			write(t, filepath.Join(dir, "a"), megabyte)
			return os.Truncate(filepath.Join(dir, "a"), 1<<40)
		}, 1},
		{"a link to a file outside", func(t *testing.T, dir string) error {
			outside := filepath.Join(t.TempDir(), "large")
			write(t, outside, 4*megabyte)
			return os.Symlink(outside, filepath.Join(dir, "a"))
		}, 0},
		{"a link to a directory outside", func(t *testing.T, dir string) error {
			outside := t.TempDir()
			write(t, filepath.Join(outside, "large"), 4*megabyte)
			return os.Symlink(outside, filepath.Join(dir, "a"))
		}, 0},
		{"a path as long as it can be", func(t *testing.T, dir string) error {
			write(t, filepath.Join(dir, strings.Repeat(strings.Repeat("d", 200)+"/", 15), "a"), megabyte)
			return nil
		}, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := test.make(t, dir); err != nil {
				t.Fatal(err)
			}
			// Directories take some as well.
			if got := weighed(t, dir); got/megabyte != test.want || got%megabyte > megabyte/2 {
				t.Errorf("it takes %d bytes, want %d MB", got, test.want)
			}
		})
	}
}

func TestDirectoriesTogether(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a/file"), 1<<20)
	write(t, filepath.Join(dir, "b/file"), 1<<20)
	if got := weighed(t, filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "gone")); got>>20 != 2 {
		t.Errorf("they take %d bytes, want 2 MB", got)
	}
}

func TestDirectoriesEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Directories(ctx, t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
