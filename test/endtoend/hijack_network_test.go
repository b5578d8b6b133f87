package endtoend

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// network is a network namespace with one link to the machine's own.
type network struct {
	t         *testing.T
	namespace string
	server    string // the machine's address on the link
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	name := "midge" + strings.ToLower(rand.Text()[:8])
	var octets [2]byte
	rand.Read(octets[:])
	subnet := fmt.Sprintf("10.%d.%d", 200+octets[0]%50, octets[1])
	n := &network{t: t, namespace: name, server: subnet + ".1"}
	n.do("ip", "netns", "add", name)
	t.Cleanup(func() { n.do("ip", "netns", "del", name) })
	n.do("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
	n.do("ip", "addr", "add", n.server+"/24", "dev", name)
	n.do("ip", "link", "set", name, "up")
	n.do("ip", "-n", name, "addr", "add", subnet+".2/24", "dev", "eth0")
	n.do("ip", "-n", name, "link", "set", "eth0", "up")
	return n
}

func (n *network) do(args ...string) {
	n.t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		n.t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// drop has packets of the namespace vanish without a word, in these directions.
func (n *network) drop(directions ...string) {
	n.t.Helper()
	rules := "add table inet cut\n"
	for _, direction := range directions {
		rules += fmt.Sprintf("add chain inet cut %[1]s { type filter hook %[1]s priority 0; policy drop; }\n", direction)
	}
	cmd := exec.Command("ip", "netns", "exec", n.namespace, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Fatalf("drop %s: %v: %s", directions, err, out)
	}
}

func (n *network) restore() {
	n.t.Helper()
	n.do("ip", "netns", "exec", n.namespace, "nft", "delete", "table", "inet", "cut")
}

// command is a command of the CLI in the namespace.
func (n *network) command(s *server, args ...string) *exec.Cmd {
	outside := s.command()
	cmd := exec.Command("ip", append([]string{"netns", "exec", n.namespace, filepath.Join(binaries, "midge")}, args...)...)
	cmd.Dir, cmd.Env = outside.Dir, append(outside.Env, "TERM=xterm", "MIDGE_TARGET=")
	return cmd
}

// A shell goes on when the network is back, whichever direction was lost, and has what
// was typed meanwhile once.
func TestHijackOverANetworkThatIsCut(t *testing.T) {
	n := newNetwork(t)
	s := startServer(t, "--listen", n.server+":8080", "--add-local-user", "tester:secret", "--socket-group", "")
	s.midge("execute", "--hold", "1h", "-c", s.script("task", "exit 1", "")).want(t, 1)
	runCommand(t, n.command(s, "-t", "net", "login", "-c", "http://"+n.server+":8080", "-u", "tester", "-p", "secret")).want(t, 0)
	shell := startScreen(t, n.command(s, "-t", "net", "hijack", "-b", "1", "--", "sh"))
	shell.write("echo begun-$((1+1))\r")
	shell.waitFor("begun-2")
	for i, directions := range [][]string{{"input", "output"}, {"input"}, {"output"}} {
		n.drop(directions...)
		shell.write(fmt.Sprintf("echo typed-%d-$((2+2))\r", i))
		lost := i + 1
		eventually(t, "the loss is noticed", func() error {
			if got := strings.Count(shell.shown.String(), "connection lost"); got != lost {
				return fmt.Errorf("%d losses are shown: %q", got, shell.shown.String())
			}
			return nil
		})
		n.restore()
		typed := fmt.Sprintf("typed-%d-4", i)
		shell.waitFor(typed)
		shell.write(fmt.Sprintf("echo after-%d-$((3+3))\r", i))
		shell.waitFor(fmt.Sprintf("after-%d-6", i))
		if got := strings.Count(shell.shown.String(), typed); got != 1 {
			t.Errorf("what was typed while packets of %v were lost was done %d times: %q", directions, got, shell.shown.String())
		}
		// What a connection brings that works again is shown before that is noticed.
		eventually(t, "the reconnection is told", func() error {
			if got := strings.Count(shell.shown.String(), "reconnected after"); got != lost {
				return fmt.Errorf("%d reconnections are shown, want %d: %q", got, lost, shell.shown.String())
			}
			return nil
		})
	}
	shell.write("exit 3\r")
	if got := shell.wait(); got != 3 {
		t.Errorf("exit status %d, want 3", got)
	}
}

// What comes through pipes is complete when the link goes down meanwhile.
func TestHijackPipesOverALinkThatGoesDown(t *testing.T) {
	n := newNetwork(t)
	s := startServer(t, "--listen", n.server+":8080", "--add-local-user", "tester:secret", "--socket-group", "")
	s.midge("execute", "--hold", "1h", "-c", s.script("task", "exit 1", "")).want(t, 1)
	runCommand(t, n.command(s, "-t", "net", "login", "-c", "http://"+n.server+":8080", "-u", "tester", "-p", "secret")).want(t, 0)
	cmd := n.command(s, "-t", "net", "hijack", "-b", "1", "--", "seq", "5000000")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr output
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	next := 1
	for lines := bufio.NewScanner(stdout); lines.Scan(); next++ {
		if lines.Text() != strconv.Itoa(next) {
			t.Fatalf("line %s came where %d should: %s", lines.Text(), next, stderr.String())
		}
		if next%1000000 == 0 {
			n.do("ip", "link", "set", n.namespace, "down")
			n.do("ip", "link", "set", n.namespace, "up")
		}
	}
	if err := cmd.Wait(); err != nil || next != 5000001 {
		t.Errorf("%d lines have come, and the error is %v: %s", next-1, err, stderr.String())
	}
}
