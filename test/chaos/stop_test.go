package chaos

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"midge/test/realserver"
)

// The server is stopped, as for an upgrade, while a build runs that two follow, somebody is in
// its container and files are on their way. It ends, and leaves what runs; each command says
// once that it waits, and goes on with the next server.
func TestServerIsStopped(t *testing.T) {
	s := realserver.Start(t, realserver.Options{Leave: true})
	task := s.Script("task", `
seq 1000
echo begun
while ! test -e go; do sleep 0.1; done
seq 1001 2000
exit 7`, "")
	running := execute(t, s, "-c", task)
	running.says("begun\n")
	watching := begin(t, s, "watch", "-b", "1")
	watching.says("begun\n")
	session := begin(t, s, "hijack", "--json", "-b", "1", "--", "sh", "-c", "echo inside; while ! test -e go; do sleep 0.1; done; echo left; exit 3")
	session.says("inside")
	const files, length = 32, 4 << 20
	for i := range files {
		random(t, s.Path(fmt.Sprintf("src/%d", i)), length)
	}
	stored := filepath.Join(s.DataDir, "artifacts")
	before := diskUse(t, stored)
	uploading := begin(t, s, "artifacts", "push", s.Path("src"))
	busily(t, "some of the upload", func() bool { return diskUse(t, stored)-before > files*length/8 })

	s.Stop()
	waits := map[*background]string{
		running: "waiting for the server", watching: "waiting for the server", uploading: "waiting for the server",
		session: "connection lost",
	}
	for command, what := range waits {
		command.says(what)
	}
	s.Start()
	s.Midge("hijack", "-b", "1", "--", "touch", "go").Want(t, 0)
	running.want(7)
	watching.want(7)
	session.want(3)
	uploading.want(0)
	for command, what := range waits {
		all := command.output.String() + command.stderr.String()
		if said := strings.Count(all, what); said != 1 {
			t.Errorf("it says %d times that it waits: %s", said, all)
		}
	}
	var want strings.Builder
	for i := 1; i <= 2000; i++ {
		fmt.Fprintln(&want, i)
		if i == 1000 {
			fmt.Fprintln(&want, "begun")
		}
	}
	for _, follower := range []*background{running, watching} {
		if got := follower.output.String(); got != want.String() {
			t.Errorf("the log has %d bytes and ends in %q, want %d", len(got), got[max(0, len(got)-50):], want.Len())
		}
	}
	for _, text := range []string{`"inside\n"`, `"left\n"`} {
		if got := session.output.String(); strings.Count(got, text) != 1 {
			t.Errorf("%s is not once in %s", text, got)
		}
	}
}
