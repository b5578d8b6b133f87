package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"time"
)

const (
	// cuts is how often the connection is cut.
	cuts = 9

	// The namespace of the client, and the network between it and the server, which is
	// one of those for benchmarks.
	clientNamespace = "midge-bench"
	serverAddress   = "198.18.7.1"
	clientAddress   = "198.18.7.2"
)

// benchReconnect measures how long a session's first byte takes once the network is back,
// between two network namespaces that lost each other's packets.
func benchReconnect(ctx context.Context, shared *bench) (err error) {
	if err := makeLink(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeLink()) }()
	b, err := newBench(ctx, shared.binaries, "--listen", serverAddress+":8080", "--add-local-user", "bench:secret")
	if err != nil {
		return err
	}
	defer b.close()
	task, err := b.writeTask("held", "exit 1", nil)
	if err != nil {
		return err
	}
	_ = b.midge(ctx, "execute", "-c", task, "--hold", "1h").Run() // the task fails
	login := inNamespace(b.midge(ctx, "-t", "far", "login", "-c", "http://"+serverAddress+":8080", "-u", "bench", "-p", "secret"))
	if out, err := login.CombinedOutput(); err != nil {
		return fmt.Errorf("log in: %w: %s", err, out)
	}
	terminal, end, err := atTerminal(inNamespace(b.midge(ctx, "-t", "far", "hijack", "-b", "1", "--", "cat")))
	if err != nil {
		return err
	}
	defer end()
	var took []time.Duration
	for range cuts {
		once, err := reconnect(ctx, terminal)
		if err != nil {
			return err
		}
		took = append(took, once)
	}
	slices.Sort(took)
	shared.add(row{"hijack, the first byte once the network is back, p50", format(took[cuts/2]), "",
		fmt.Sprintf("worst of %d: %s", cuts, format(took[cuts-1])), "<= 100 ms"})
	return nil
}

// reconnect cuts the connection, types a key, and says how long after the network's return
// the key is shown.
func reconnect(ctx context.Context, terminal io.ReadWriter) (time.Duration, error) {
	if _, err := echo(terminal); err != nil {
		return 0, err
	}
	if err := filter(ctx, cutRules).run(); err != nil {
		return 0, err
	}
	if _, err := terminal.Write([]byte{key}); err != nil {
		return 0, err
	}
	if err := awaitText(terminal, "trying to reconnect"); err != nil {
		return 0, err
	}
	// It has started when the time does, and waits for its rules.
	restore := filter(ctx, "delete table inet cut\n")
	if err := restore.start(); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := restore.finish(); err != nil {
		return 0, err
	}
	if err := awaitText(terminal, string(key)); err != nil {
		return 0, err
	}
	return time.Since(began), nil
}

// cutRules have every packet of the namespace vanish without a word.
const cutRules = `add table inet cut
add chain inet cut input { type filter hook input priority 0; policy drop; }
add chain inet cut output { type filter hook output priority 0; policy drop; }
`

// ruleChange changes what packets of the namespace go through.
type ruleChange struct {
	cmd   *exec.Cmd
	rules string
	stdin io.WriteCloser
	said  bytes.Buffer
}

func filter(ctx context.Context, rules string) *ruleChange {
	return &ruleChange{cmd: exec.CommandContext(ctx, "ip", "netns", "exec", clientNamespace, "nft", "-f", "-"), rules: rules}
}

func (c *ruleChange) run() error {
	if err := c.start(); err != nil {
		return err
	}
	return c.finish()
}

// start starts nft, which reads all of its rules before it does anything.
func (c *ruleChange) start() (err error) {
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return err
	}
	c.cmd.Stderr = &c.said
	if err := c.cmd.Start(); err != nil {
		return err
	}
	_, err = io.WriteString(c.stdin, c.rules)
	return err
}

func (c *ruleChange) finish() error {
	c.stdin.Close()
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("change the rules for packets: %w: %s", err, &c.said)
	}
	return nil
}

// awaitText reads until a text has come.
func awaitText(r io.Reader, text string) error {
	var shown []byte
	var piece [256]byte
	for !bytes.Contains(shown, []byte(text)) {
		n, err := r.Read(piece[:])
		if err != nil {
			return fmt.Errorf("wait for %q to be shown: %w", text, err)
		}
		shown = append(shown, piece[:n]...)
	}
	return nil
}

// makeLink joins a network namespace of its own to the machine's.
func makeLink(ctx context.Context) error {
	for _, command := range []string{
		"netns add " + clientNamespace,
		"link add " + clientNamespace + " type veth peer name eth0 netns " + clientNamespace,
		"addr add " + serverAddress + "/24 dev " + clientNamespace,
		"link set " + clientNamespace + " up",
		"-n " + clientNamespace + " addr add " + clientAddress + "/24 dev eth0",
		"-n " + clientNamespace + " link set eth0 up",
	} {
		if err := ip(ctx, command); err != nil {
			return errors.Join(err, removeLink())
		}
	}
	return nil
}

// removeLink removes the namespace, and the link with it.
func removeLink() error { return ip(context.Background(), "netns del "+clientNamespace) }

// inNamespace gives a command of the CLI as one in the namespace.
func inNamespace(midge *exec.Cmd) *exec.Cmd {
	cmd := exec.Command("ip", append([]string{"netns", "exec", clientNamespace, midge.Path}, midge.Args[1:]...)...)
	cmd.Env = append(midge.Env, "MIDGE_TARGET=", "XDG_CONFIG_HOME=")
	return cmd
}

func ip(ctx context.Context, command string) error {
	if out, err := exec.CommandContext(ctx, "ip", strings.Fields(command)...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", command, err, out)
	}
	return nil
}
