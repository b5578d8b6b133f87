package endtoend

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A stopped server's artifacts are verified, and damage is found.
func TestServerVerify(t *testing.T) {
	s := startServer(t)
	s.write(map[string]string{"src/file": "content that is damaged later\n"})
	task := s.script("task", "cat src/file", "inputs: [{name: src}]\n")
	s.midge("execute", "-c", task, "-i", "src=src").want(t, 0)
	verify := func() result {
		return runCommand(t, exec.Command(filepath.Join(binaries, "midge-server"), "verify", "--data-dir", s.path("data")))
	}
	verify().wantError(t, 1, "in use by another server")
	s.stop()
	verify().want(t, 0, "all is well")

	damaged := 0
	err := filepath.WalkDir(s.path("data/artifacts"), func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || filepath.Base(filepath.Dir(path)) != "packs" {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil || len(content) == 0 {
			return err
		}
		content[len(content)/2] ^= 0xff
		damaged++
		return os.WriteFile(path, content, 0o600)
	})
	if err != nil || damaged == 0 {
		t.Fatalf("%d packs were damaged, %v", damaged, err)
	}
	verify().want(t, 1, "problem")

	missing := exec.Command(filepath.Join(binaries, "midge-server"), "verify", "--data-dir", s.path("nowhere"))
	runCommand(t, missing).wantError(t, 1, "nowhere")
}
