package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	runc "github.com/containerd/go-runc"
	"golang.org/x/sys/unix"
)

// An ociContainer is a container as the OCI runtime made it.
type ociContainer struct {
	pid int // of the first process, a child of this one
}

// createContainer has the runtime make and start the container in dir, its first
// process inheriting the socket. What the runtime remembers of it is on the stage,
// where nobody else sees it and nothing stays: the runtime is not asked again.
func createContainer(ctx context.Context, dir string, config Config, inherited *os.File) (*ociContainer, error) {
	// The runtime leaves the first process to this one.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become the parent of the container: %w", err)
	}
	// What the runtime and the first process say goes where the supervisor's own words go.
	stdio, err := runc.NewSTDIO()
	if err != nil {
		return nil, err
	}
	runtimeLog := filepath.Join(dir, runtimeLogs)
	if err := os.Remove(runtimeLog); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	client := &runc.Runc{
		Command:      config.Runtime,
		Root:         filepath.Join(config.Stage, "oci"),
		Log:          runtimeLog,
		LogFormat:    runc.JSON,
		PdeathSignal: syscall.SIGKILL,
	}
	_, err = client.Run(ctx, config.ID, dir, &runc.CreateOpts{
		IO:           stdio,
		PidFile:      filepath.Join(dir, pidFile),
		Detach:       true,
		NoNewKeyring: true,
		ExtraFiles:   []*os.File{inherited},
	})
	if err != nil {
		if message := lastLogged(runtimeLog); message != "" {
			err = fmt.Errorf("%s: %w", message, err)
		}
		return nil, fmt.Errorf("%s could not make the container: %w", filepath.Base(config.Runtime), err)
	}
	b, err := os.ReadFile(filepath.Join(dir, pidFile))
	if err != nil {
		return nil, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", pidFile, err)
	}
	return &ociContainer{pid: pid}, nil
}

// kill ends the first process, and so all in the container, and waits until it is gone.
func (c *ociContainer) kill() {
	// It is a child that nobody else waits for, so the number is still its own.
	_ = unix.Kill(c.pid, unix.SIGKILL)
	for {
		_, err := unix.Wait4(c.pid, nil, 0, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// lastLogged gives the last error in a runtime's log, "" when there is none.
func lastLogged(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	return lastError(f)
}

// lastError gives the message of the last error in lines of JSON, whatever else there is.
func lastError(log io.Reader) string {
	last := ""
	scanner := bufio.NewScanner(log)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		var entry struct{ Level, Msg string }
		if json.Unmarshal(scanner.Bytes(), &entry) == nil && entry.Level == "error" {
			last = entry.Msg
		}
	}
	return last
}
