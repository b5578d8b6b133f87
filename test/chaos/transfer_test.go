package chaos

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"midge/test/realserver"
)

// The server is killed while files are on their way to it, and while they come back. The
// commands wait for the next one, say so, and go on where they were.
func TestServerIsKilledInTransfers(t *testing.T) {
	s := realserver.Start(t, realserver.Options{})
	const files, length = 32, 4 << 20
	for i := range files {
		random(t, s.Path(fmt.Sprintf("src/%d", i)), length)
	}
	push := begin(t, s, "artifacts", "push", s.Path("src"))
	killWhenSomeIsThere(t, s, push, filepath.Join(s.DataDir, "artifacts"), files*length/8)
	push.want(0)
	id := strings.TrimSpace(push.output.String())
	if said := strings.Count(push.stderr.String(), "waiting for the server"); said != 1 {
		t.Errorf("it says %d times that it waits for the server: %s", said, push.stderr.String())
	}

	into := s.Path("dst")
	pull := begin(t, s, "artifacts", "pull", id, into)
	killWhenSomeIsThere(t, s, pull, s.Dir, files*length/8)
	pull.want(0)
	for i := range files {
		name := fmt.Sprint(i)
		sent, err := os.ReadFile(s.Path("src/" + name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(into, name)); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("file %s has come back with %d bytes (%v), other than what was sent", name, len(got), err)
		}
	}
}

// killWhenSomeIsThere kills the server, and starts another, when so many bytes more are below
// a directory, and the command runs that brings them there. It must have many more to bring:
// it is ahead of what is on the disk.
func killWhenSomeIsThere(t *testing.T, s *realserver.Server, command *background, dir string, bytes int64) {
	t.Helper()
	before := diskUse(t, dir)
	busily(t, "some of it", func() bool { return diskUse(t, dir)-before > bytes })
	s.Kill()
	if len(command.status) > 0 {
		t.Fatalf("it ended before the server was killed: %s%s", command.output.String(), command.stderr.String())
	}
	command.says("waiting for the server")
	s.Start()
}

// diskUse is how many bytes the files below a directory have.
func diskUse(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil // what goes meanwhile takes nothing
		}
		if info, err := entry.Info(); err == nil {
			bytes += info.Size()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}
