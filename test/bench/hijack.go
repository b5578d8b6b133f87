package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"
)

const bulkBytes = 1_000_000_000

// benchHijack measures sessions in the container of a task that has failed.
func benchHijack(ctx context.Context, b *bench) error {
	task, err := b.writeTask("held", fmt.Sprintf("yes 0123456789abcde | head -c %d > /big; exit 1", bulkBytes), nil)
	if err != nil {
		return err
	}
	output, err := b.midge(ctx, "execute", "-b", "-c", task, "--hold", "1h").Output()
	if err != nil {
		return fmt.Errorf("execute a task to hijack: %w", err)
	}
	build := strings.TrimSpace(string(output))
	_ = b.midge(ctx, "watch", "-b", build).Run() // the task fails
	for _, measure := range []func(context.Context, *bench, string) error{benchCommand, benchKeystroke, benchBulk} {
		if err := measure(ctx, b, build); err != nil {
			return err
		}
	}
	return b.midge(ctx, "release", build).Run()
}

// benchCommand measures one command, beside runc in a container of its own.
func benchCommand(ctx context.Context, b *bench, build string) error {
	bundle, err := b.makeBundle()
	if err != nil {
		return err
	}
	const id = "bench-exec"
	if err := keepRunning(ctx, bundle, id); err != nil {
		return err
	}
	defer exec.Command("runc", "delete", "--force", id).Run()
	ours, theirs, err := interleave(25,
		func() (time.Duration, error) { return timed(b.midge(ctx, "hijack", "-b", build, "--", "true")) },
		func() (time.Duration, error) { return timed(exec.CommandContext(ctx, "runc", "exec", id, "/bin/true")) })
	if err != nil {
		return err
	}
	b.compare("hijack, one command, p50", ours, "`runc exec`", theirs, "<= 3 x")
	return nil
}

// keepRunning makes a container of the bundle that sleeps.
func keepRunning(ctx context.Context, bundle, id string) error {
	asleep := bundle + "-asleep"
	if err := os.MkdirAll(asleep, 0o755); err != nil {
		return err
	}
	config, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if err != nil {
		return err
	}
	config = bytes.Replace(config, []byte(`["/bin/true"]`), []byte(`["/bin/sleep","100000"]`), 1)
	if err := os.WriteFile(filepath.Join(asleep, "config.json"), config, 0o644); err != nil {
		return err
	}
	return exec.CommandContext(ctx, "runc", "run", "--detach", "--bundle", asleep, id).Run()
}

// keystrokes is how many are typed, a few at first that count for nothing.
const keystrokes, uncounted = 1000, 50

// benchKeystroke measures the time from a key to its echo on the user's terminal, beside
// an echo over loopback TCP.
func benchKeystroke(ctx context.Context, b *bench, build string) error {
	terminal, end, err := atTerminal(b.midge(ctx, "hijack", "-b", build, "--", "cat"))
	if err != nil {
		return err
	}
	defer end()
	connection, err := dialEcho()
	if err != nil {
		return err
	}
	defer connection.Close()
	// What is shown before the first echo, and the echo of a line, is no keystroke's.
	if _, err := echo(terminal); err != nil {
		return err
	}
	var ours, theirs []time.Duration
	for i := range keystrokes + uncounted {
		our, err := echo(terminal)
		if err != nil {
			return err
		}
		their, err := echo(connection)
		if err != nil {
			return err
		}
		if i >= uncounted {
			ours, theirs = append(ours, our), append(theirs, their)
		}
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	for _, quantile := range []struct {
		name   string
		index  int
		budget string
	}{{"p50", keystrokes / 2, "<= 0.5 ms over it"}, {"p99", keystrokes * 99 / 100, "<= 1.5 ms over it"}} {
		our, their := ours[quantile.index], theirs[quantile.index]
		b.add(row{"hijack, a keystroke and its echo, " + quantile.name, format(our),
			"echo over loopback TCP: " + format(their), format(our-their) + " over it", quantile.budget})
	}
	return nil
}

// atTerminal starts a command at a terminal, until end is called. What shows a key there is
// the container's terminal, not this one.
func atTerminal(cmd *exec.Cmd) (terminal *os.File, end func(), err error) {
	cmd.Env = append(cmd.Env, "TERM=xterm")
	if terminal, err = pty.Start(cmd); err != nil {
		return nil, nil, err
	}
	end = func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = terminal.Close()
		_ = cmd.Wait() // which tells of the kill
	}
	if _, err := term.MakeRaw(int(terminal.Fd())); err != nil {
		end()
		return nil, nil, err
	}
	return terminal, end, nil
}

// key is what is typed: the remote terminal shows it as it is.
const key = 'x'

// echo types a key and waits until it is shown.
func echo(terminal io.ReadWriter) (time.Duration, error) {
	began := time.Now()
	if _, err := terminal.Write([]byte{key}); err != nil {
		return 0, err
	}
	var shown [256]byte
	for {
		n, err := terminal.Read(shown[:])
		if err != nil {
			return 0, fmt.Errorf("wait for a key to be shown: %w", err)
		}
		if bytes.IndexByte(shown[:n], key) >= 0 {
			return time.Since(began), nil
		}
	}
}

// dialEcho connects to a server on the loopback interface that sends back what it gets.
func dialEcho() (net.Conn, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	go func() {
		if connection, err := listener.Accept(); err == nil {
			io.Copy(connection, connection)
			connection.Close()
		}
	}()
	return net.Dial("tcp", listener.Addr().String())
}

// benchBulk measures a large file that comes home through a session, beside cat through
// a loopback TCP socket.
func benchBulk(ctx context.Context, b *bench, build string) error {
	source, target := filepath.Join(b.dir, "big"), filepath.Join(b.dir, "brought")
	defer os.Remove(source)
	defer os.Remove(target)
	if err := b.midge(ctx, "cp", build+":/big", source).Run(); err != nil {
		return fmt.Errorf("copy the file: %w", err)
	}
	ours, theirs, err := interleave(5,
		func() (time.Duration, error) {
			return toFile(target, func(file *os.File) (time.Duration, error) {
				cmd := b.midge(ctx, "hijack", "-b", build, "--", "cat", "/big")
				cmd.Stdout = file
				return timed(cmd)
			})
		},
		func() (time.Duration, error) {
			return toFile(target, func(file *os.File) (time.Duration, error) { return catOverTCP(ctx, source, file) })
		})
	if err != nil {
		return err
	}
	b.add(row{"hijack, `cat` of a 1 GB file to a file", format(ours), "`cat` through loopback TCP: " + format(theirs),
		fmt.Sprintf("%.2f of its rate, complete", theirs.Seconds()/ours.Seconds()), ">= 1/2"})
	return nil
}

// toFile has a file written anew, and checks that all of it is there.
func toFile(name string, write func(*os.File) (time.Duration, error)) (time.Duration, error) {
	os.Remove(name)
	file, err := os.Create(name)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	took, err := write(file)
	if err != nil {
		return 0, err
	}
	if info, err := file.Stat(); err != nil || info.Size() != bulkBytes {
		return 0, fmt.Errorf("%d bytes have come of %d (%v)", info.Size(), bulkBytes, err)
	}
	return took, nil
}

// catOverTCP has one cat write a file to a socket and another its other end to a file.
func catOverTCP(ctx context.Context, source string, target *os.File) (time.Duration, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	near, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return 0, err
	}
	defer near.Close()
	far, err := listener.Accept()
	if err != nil {
		return 0, err
	}
	defer far.Close()
	in, err := far.(*net.TCPConn).File()
	if err != nil {
		return 0, err
	}
	defer in.Close()
	out, err := near.(*net.TCPConn).File()
	if err != nil {
		return 0, err
	}
	defer out.Close()
	sender, receiver := exec.CommandContext(ctx, "cat", source), exec.CommandContext(ctx, "cat")
	sender.Stdout, receiver.Stdin, receiver.Stdout = in, out, target
	began := time.Now()
	if err := receiver.Start(); err != nil {
		return 0, err
	}
	err = sender.Run()
	far.(*net.TCPConn).CloseWrite()
	if waitErr := receiver.Wait(); err == nil {
		err = waitErr
	}
	return time.Since(began), err
}
