package endtoend

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// random gives bytes that no compression makes less of.
func random(size int) []byte {
	content := make([]byte, size)
	rand.NewChaCha8([32]byte{2}).Read(content)
	return content
}

// describeTree says in lines what a directory has.
func describeTree(t *testing.T, dir string) string {
	t.Helper()
	var lines strings.Builder
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&lines, "%s %v", path[len(dir)+1:], info.Mode())
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&lines, " %s\n", target)
		case info.IsDir():
			fmt.Fprintln(&lines)
		default:
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&lines, " %d %x\n", info.ModTime().Unix(), sha256.Sum256(content))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines.String()
}

// Files go into a container and out of it as they are, while its task runs and after that.
func TestFilesThereAndBack(t *testing.T) {
	s := startServer(t)
	created := s.midge("execute", "-b", "--hold", "1h", "-c",
		s.script("task", "mkdir made; echo ready; until [ -e made/tree/go ]; do sleep 0.05; done; exit 1", ""))
	created.want(t, 0)
	build := strings.TrimSpace(created.stdout)
	eventually(t, "the task runs", func() error {
		if r := s.midge("ls", build+":made"); r.status != 0 {
			return fmt.Errorf("ls gave %d: %s", r.status, r.stderr)
		}
		return nil
	})
	tree := s.path("tree")
	s.write(map[string]string{"tree/go": "", "tree/.git/config": "x", "tree/.gitignore": "*", "tree/sub/deep/file": "deep"})
	for _, step := range []error{
		os.WriteFile(filepath.Join(tree, "large"), random(40<<20), 0o640),
		os.WriteFile(filepath.Join(tree, "tool"), []byte("#!/bin/sh\n"), 0o755),
		os.Chmod(filepath.Join(tree, "tool"), 0o755|fs.ModeSetuid),
		os.Chmod(filepath.Join(tree, "sub"), 0o700|fs.ModeSticky),
		os.Symlink("/nowhere/at/all", filepath.Join(tree, "absolute")),
		os.Symlink("sub/deep", filepath.Join(tree, "relative")),
		os.Mkdir(filepath.Join(tree, "empty"), 0o500),
		os.Link(filepath.Join(tree, "large"), filepath.Join(tree, "second-name")),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	want := describeTree(t, tree)
	s.midge("cp", "tree", build+":made").want(t, 0)
	s.midge("watch", "-b", build).want(t, 1) // the task saw what came

	s.midge("cp", build+":made/tree", "back").want(t, 0)
	if got := describeTree(t, s.path("back")); got != want {
		t.Errorf("what came back differs:\n%s\nwant\n%s", got, want)
	}
	s.midge("hijack", "-b", build, "--", "sh", "-c", "cd made/tree && ./relative/../../tool && sha256sum large").
		want(t, 0, fmt.Sprintf("%x", sha256.Sum256(random(40<<20))))
	s.midge("diff", build).want(t, 0, "/made/tree/tool", "/made/tree/sub/deep/file")
	if r := s.midge("cat", build+":made/tree/large"); !bytes.Equal([]byte(r.stdout), random(40<<20)) {
		t.Errorf("cat gave %d bytes, and status %d: %s", len(r.stdout), r.status, r.stderr)
	}
	s.midge("cat", build+":/dev/zero").wantError(t, 1, "no file but a device, socket or named pipe")
	s.midge("cat", build+":/proc/version").wantError(t, 1, "made by the kernel when it is read")
}

// What a server that is killed cuts goes on where it was.
func TestCatGoesOnAfterTheServersEnd(t *testing.T) {
	s := startServer(t)
	s.midge("execute", "--hold", "1h", "-c", s.script("task", "head -c 300000000 /dev/zero | openssl enc -aes-128-ctr -K 00 -iv 00 >large; sha256sum large; exit 1", "")).want(t, 1)
	cmd := s.command("cat", "1:large")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr output
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	buffer := make([]byte, 1<<20)
	total := 0
	for killed := false; ; {
		n, err := stdout.Read(buffer)
		sum.Write(buffer[:n])
		total += n
		if err != nil {
			break
		}
		if total > 20<<20 && !killed {
			killed = true
			s.kill()
			s.start()
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("cat gave %v: %s", err, stderr.String())
	}
	s.midge("watch", "-b", "1").want(t, 1, fmt.Sprintf("%x  large", sum.Sum(nil)))
}
