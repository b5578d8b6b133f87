package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// bench is a running server, a directory to work in, and the rows measured so far.
type bench struct {
	binaries string
	dir      string
	target   string
	server   *exec.Cmd
	ended    chan struct{} // closed when the server has ended
	rows     []row
}

// row is a line of the table, ready to print.
type row struct {
	what, midge, beside, ratio, budget string
}

// allAtOnce has a server run as many builds at once as the benchmarks make.
var allAtOnce = []string{"--max-active-builds", "200"}

// newBench starts a server. args are settings of it besides the usual ones. Nothing stays
// of a server that does not start.
func newBench(ctx context.Context, binaries string, args ...string) (*bench, error) {
	binaries, err := filepath.Abs(binaries)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "midge-bench.")
	if err != nil {
		return nil, err
	}
	b := &bench{binaries: binaries, dir: dir}
	err = b.startServer(ctx, args)
	if err == nil {
		err = makeRootfs(filepath.Join(dir, "rootfs"))
	}
	if err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bench) startServer(ctx context.Context, args []string) error {
	socket := filepath.Join(b.dir, "midge.sock")
	b.target = "unix://" + socket
	log, err := os.Create(filepath.Join(b.dir, "server.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	server := exec.Command(filepath.Join(b.binaries, "midge-server"), append([]string{
		"--data-dir", filepath.Join(b.dir, "data"), "--listen", "127.0.0.1:0", "--socket", socket,
		"--allow-rootfs", b.dir, "--destroy-on-exit"}, args...)...)
	server.Stdout, server.Stderr = log, log
	server.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // as whatever runs services does
	if err := server.Start(); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	b.server, b.ended = server, make(chan struct{})
	go func() {
		defer close(b.ended)
		server.Wait()
	}()
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-b.ended:
			cancel()
		case <-waiting.Done():
		}
	}()
	if err := waitForSocket(waiting, socket); err != nil {
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("wait for the server: %w\n%s", err, text)
	}
	return nil
}

func (b *bench) close() {
	if b.server != nil {
		b.server.Process.Signal(syscall.SIGTERM)
		<-b.ended
	}
	os.RemoveAll(b.dir)
}

// waitForSocket returns when a server accepts connections on the socket.
func waitForSocket(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		connection, err := new(net.Dialer).DialContext(ctx, "unix", socket)
		if err == nil {
			return connection.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// makeRootfs makes the smallest root file system that both runc and midge run true in.
func makeRootfs(dir string) error {
	bin := filepath.Join(dir, "bin")
	for _, name := range []string{bin, filepath.Join(dir, "proc"), filepath.Join(dir, "dev"), filepath.Join(dir, "sys")} {
		if err := os.MkdirAll(name, 0o755); err != nil {
			return err
		}
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return fmt.Errorf("the benchmark's containers need busybox-static: %w", err)
	}
	if err := os.WriteFile(filepath.Join(bin, "busybox"), busybox, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"sh", "true", "seq", "cat", "sleep"} {
		if err := os.Symlink("busybox", filepath.Join(bin, name)); err != nil {
			return err
		}
	}
	return nil
}

// midge is a command of the CLI against the bench's server.
func (b *bench) midge(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(b.binaries, "midge"), args...)
	cmd.Env = append(os.Environ(), "MIDGE_TARGET="+b.target, "HOME="+b.dir, "XDG_CACHE_HOME="+filepath.Join(b.dir, "cache"))
	return cmd
}

// writeTask writes a task file that runs a shell script in the bench's rootfs.
func (b *bench) writeTask(name, script string, fields map[string]any) (string, error) {
	task := map[string]any{
		"platform":   "linux",
		"rootfs_uri": "raw://" + filepath.Join(b.dir, "rootfs"),
		"run":        map[string]any{"path": "sh", "args": []string{"-c", script}},
	}
	for key, value := range fields {
		task[key] = value
	}
	if task["image_resource"] != nil {
		delete(task, "rootfs_uri")
	}
	text, err := json.Marshal(task) // JSON is YAML
	if err != nil {
		return "", err
	}
	path := filepath.Join(b.dir, name+".yml")
	return path, os.WriteFile(path, text, 0o644)
}

// timed runs a command and says how long it took.
func timed(cmd *exec.Cmd) (time.Duration, error) {
	var output bytes.Buffer
	if cmd.Stderr == nil {
		cmd.Stderr = &output
	}
	start := time.Now()
	err := cmd.Run()
	took := time.Since(start)
	if err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", cmd, err, output.Bytes())
	}
	return took, nil
}

// interleave runs two things in turn, so that what else the machine does meets both, and gives their medians.
func interleave(rounds int, ours, theirs func() (time.Duration, error)) (time.Duration, time.Duration, error) {
	var our, their []time.Duration
	for range rounds {
		took, err := theirs()
		if err != nil {
			return 0, 0, err
		}
		their = append(their, took)
		if took, err = ours(); err != nil {
			return 0, 0, err
		}
		our = append(our, took)
	}
	return median(our), median(their), nil
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// compare adds a row of two times and their ratio.
func (b *bench) compare(what string, ours time.Duration, beside string, theirs time.Duration, budget string) {
	b.add(row{what, format(ours), beside + ": " + format(theirs), fmt.Sprintf("%.2f x", ours.Seconds()/theirs.Seconds()), budget})
}

func (b *bench) add(r row) {
	b.rows = append(b.rows, r)
	fmt.Fprintf(os.Stderr, "%s: %s, %s, %s (budget %s)\n", r.what, r.midge, r.beside, r.ratio, r.budget)
}

func format(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}
