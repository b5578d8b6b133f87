package pid1

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is what a broken test waits for.
const patience = 2 * time.Minute

// missing is a shell that blocks the signal, as one does that is just starting a command,
// has got it, and then starts a command: that has not got it, and the shell ends by it.
const missing = `exec env --block-signal=TERM dash -c '
	pending() { while read -r name set; do [ "$name" = ShdPnd: ] && { [ "$set" != 0000000000000000 ]; return; }; done < /proc/$$/status; return 1; }
	echo ready; until pending; do :; done; read go; sleep 1000000; :'`

func TestEndAllFindsWhatItMissed(t *testing.T) {
	for _, kind := range []string{"own", "shared"} {
		t.Run(kind, func(t *testing.T) {
			c := newContainer(t, kind)
			p := c.run(missing)
			p.await("ready")
			none := c.endAll(unix.SIGTERM)
			p.say("go")
			if exit := c.exit(); exit.Signal != int(unix.SIGTERM) {
				t.Errorf("the shell ended as %+v", exit)
			}
			c.await(none, "what the shell has started")
		})
	}
}

// A process is sent the signal once, and what it starts to clean up is not: not while
// it waits for that, nor when it does not.
func TestEndAllSparesWhatCleansUp(t *testing.T) {
	for name, script := range map[string]string{
		"a child": `trap 'echo term; dash -c "echo cleaning; read go; echo cleaned"' TERM; echo ready
			while ! read go; do :; done; dash -c "echo cleaned, too"`,
		"a grandchild": `exec 3<&0; trap 'echo term; (dash -c "echo cleaning; read go; echo cleaned; read go; echo cleaned, too" <&3 &); exit' TERM
			(echo ready; exec sleep 1000000) & while :; do wait; done`,
		"who waits for it": `exec env --block-signal=TERM perl -MPOSIX -e '
			$| = 1;
			print "ready\n";
			my $got = POSIX::SigSet->new;
			do { sigpending($got) } until $got->ismember(SIGTERM);
			print "term\n";
			# A command has the shell block nothing.
			system "dash", "-c", "env true; echo cleaning; read go; echo cleaned; read go; echo cleaned, too";'`,
	} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, "own")
			polite, lost := c.run(script), c.run(missing)
			polite.await("ready")
			lost.await("ready")
			none := c.endAll(unix.SIGTERM)
			polite.await("term")
			polite.await("cleaning")
			// When the other is found, all have been looked at.
			lost.say("go")
			lost.awaitEnd()
			polite.say("go")
			polite.await("cleaned")
			polite.say("go")
			polite.await("cleaned, too")
			polite.awaitEnd()
			c.await(none, "all processes")
		})
	}
}

func TestEndAllAndWhatIsStartedAfterIt(t *testing.T) {
	c := newContainer(t, "own")
	stubborn := c.run(`trap "" TERM; echo ready; read go`)
	stubborn.await("ready")
	none := c.endAll(unix.SIGTERM)
	c.run("exec sleep 1000000").awaitEnd()
	if exit := c.exit(); exit.Signal != int(unix.SIGTERM) {
		t.Errorf("what was started after the signal ended as %+v", exit)
	}
	stubborn.say("go")
	c.await(none, "all processes")
}

func TestStatusHasDefault(t *testing.T) {
	const term, other = "0000000000004000", "0000000180000002"
	for status, want := range map[string]bool{
		"Name:\tsh\nSigIgn:\t" + other + "\nSigCgt:\t" + other + "\n": true,
		"SigIgn:\t" + other + "\nSigCgt:\t" + term + "\n":             false,
		"SigIgn:\t" + term + "\nSigCgt:\t" + other + "\n":             false,
		"SigBlk:\t" + term + "\nSigIgn:\t0\nSigCgt:\t0":               true,
		"SigIgn:\t" + other + "\n":                                    false,
		"SigIgn:\tx\nSigCgt:\tx\n":                                    false,
		"":                                                            false,
	} {
		if got := statusHasDefault([]byte(status), unix.SIGTERM); got != want {
			t.Errorf("%q has the default action: %v, want %v", status, got, want)
		}
	}
}

// A container is a first process in a pid namespace.
type container struct {
	t     *testing.T
	first *First
	exits chan Exit
	count int
}

func newContainer(t *testing.T, kind string) *container {
	t.Helper()
	conn, inherited, err := SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), inContainer+"="+kind)
	cmd.ExtraFiles = []*os.File{inherited}
	cmd.Stderr = os.Stderr
	// A mount namespace that is unshared, and not cloned, is made private by the syscall package.
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWPID, Unshareflags: unix.CLONE_NEWNS}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	inherited.Close()
	c := &container{t: t, exits: make(chan Exit, 16)}
	c.first = Supervise(conn, func(e Exit) { c.exits <- e })
	t.Cleanup(func() {
		c.first.Close()
		<-c.first.Gone()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the first process ended: %v", err)
		}
	})
	c.await(c.first.Ready(), "the first process")
	return c
}

// A session is a process with its input and output.
type session struct {
	t      *testing.T
	stdin  *os.File
	stdout *bufio.Reader
}

func (c *container) run(script string) *session {
	c.t.Helper()
	in, stdin, err := os.Pipe()
	if err != nil {
		c.t.Fatal(err)
	}
	stdout, out, err := os.Pipe()
	if err != nil {
		c.t.Fatal(err)
	}
	// os.Pipe makes both ends non-blocking, which shells do not expect.
	for _, end := range []*os.File{in, out} {
		if err := unix.SetNonblock(int(end.Fd()), false); err != nil {
			c.t.Fatal(err)
		}
	}
	c.count++
	start := Start{ID: strings.Repeat("i", c.count), Path: "dash", Args: []string{"-c", script}, WorkingDir: "/", Stdin: true}
	if _, _, err := c.first.Start(start, in, out, out); err != nil {
		c.t.Fatal(err)
	}
	in.Close()
	out.Close()
	c.t.Cleanup(func() { stdin.Close(); stdout.Close() })
	if err := stdout.SetReadDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	return &session{t: c.t, stdin: stdin, stdout: bufio.NewReader(stdout)}
}

func (s *session) say(line string) {
	s.t.Helper()
	if _, err := io.WriteString(s.stdin, line+"\n"); err != nil {
		s.t.Fatal(err)
	}
}

func (s *session) await(want string) {
	s.t.Helper()
	line, err := s.stdout.ReadString('\n')
	if line != want+"\n" {
		s.t.Fatalf("it printed %q (%v), want %q", line, err, want)
	}
}

// awaitEnd waits until the process has ended, and all that it has started.
func (s *session) awaitEnd() {
	s.t.Helper()
	rest, err := io.ReadAll(s.stdout)
	if err != nil || len(rest) > 0 {
		s.t.Fatalf("it did not end, but printed %q (%v)", rest, err)
	}
}

func (c *container) endAll(signal unix.Signal) <-chan struct{} {
	c.t.Helper()
	none, err := c.first.EndAll(signal)
	if err != nil {
		c.t.Fatal(err)
	}
	return none
}

func (c *container) exit() Exit {
	c.t.Helper()
	select {
	case exit := <-c.exits:
		return exit
	case <-time.After(patience):
		c.t.Fatal("no process ended")
		return Exit{}
	}
}

func (c *container) await(done <-chan struct{}, what string) {
	c.t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		c.t.Fatalf("%s: still waited for", what)
	}
}
