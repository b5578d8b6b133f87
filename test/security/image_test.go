package security

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"midge/api"
	"midge/test/realserver"
)

// An image whose directories are links to the machine's makes nothing there: what the
// container needs in them is made inside, or not at all.
func TestHostileImage(t *testing.T) {
	s := start(t)
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"etc", "proc", "sys", "dev", "tmp", "work"} {
		t.Run(dir, func(t *testing.T) {
			outside := t.TempDir()
			kept := filepath.Join(outside, "kept")
			if err := os.WriteFile(kept, []byte("kept"), 0o644); err != nil {
				t.Fatal(err)
			}
			image := s.Path("image-" + dir)
			root := filepath.Join(image, "rootfs")
			if err := os.MkdirAll(filepath.Join(root, "bin"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, "bin/busybox"), busybox, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("busybox", filepath.Join(root, "bin/sh")); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(outside, filepath.Join(root, dir)); err != nil {
				t.Fatal(err)
			}
			s.Write("image-"+dir+"/metadata.json", `{"env":["PATH=/bin"],"user":"root"}`)
			log := runImage(t, s, image, "echo evil >/"+dir+"/kept; echo the task ran")
			entries, err := os.ReadDir(outside)
			if err != nil {
				t.Fatal(err)
			}
			if text, err := os.ReadFile(kept); len(entries) != 1 || err != nil || string(text) != "kept" {
				t.Errorf("the machine's directory has %v and %q (%v) after\n%s", entries, text, err, log)
			}
		})
	}
}

// runImage runs a script in a container of an image that is pushed as an artifact, and
// gives the build's log, which says that the script ran or why the image was refused.
func runImage(t *testing.T, s *realserver.Server, image, script string) string {
	t.Helper()
	r := s.Midge("artifacts", "push", image)
	r.Want(t, 0)
	ann := logIn(t, s, "ann")
	plan := fmt.Sprintf(`{"id":"1","do":[{"id":"2","artifact_input":{"artifact_id":%s,"name":"image"}},
		{"id":"3","task":{"name":"t","image":"image","config":{"platform":"linux","outputs":[{"name":"out","path":"/work/out"}],
		"caches":[{"path":"/tmp/cache"}],"run":{"path":"/bin/sh","args":["-c",%q]}}}}]}`, strings.TrimSpace(r.Stdout), script)
	var build api.Build
	decode(t, ann.want(http.StatusCreated, "POST", "/api/v1/teams/main/builds", plan), &build)
	watched := s.Midge("watch", "-b", fmt.Sprint(build.ID))
	if log := watched.Stdout + watched.Stderr; !strings.Contains(log, "the task ran") && !strings.Contains(log, "create the container: ") {
		t.Errorf("the task did not run, and the image was not refused either:\n%s", log)
	}
	return watched.Stdout + watched.Stderr
}
