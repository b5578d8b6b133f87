package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Launch starts the program, which is midge-agent, as the supervisor of the
// container in dir, whose user namespace is users or, if that is nil, the machine's,
// and returns when the container is up. The supervisor stays
// when this process ends. When ctx ends before, or on any other error, no
// supervisor is left, nor anything that it made.
func Launch(ctx context.Context, program, dir string, users *os.File) error {
	log, err := os.OpenFile(filepath.Join(dir, logFile), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	ready, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()

	cmd := exec.Command(program, ModeSupervise, dir)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{theirs}
	if users != nil {
		cmd.Args = append(cmd.Args, "users")
		cmd.ExtraFiles = append(cmd.ExtraFiles, users)
	}
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Cloneflags: unix.CLONE_NEWNS}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return fmt.Errorf("start the container's supervisor: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // what it failed for it says over the pipe
	}()
	// It takes down what it has made.
	defer context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(unix.SIGTERM) })()

	var failure *Error
	if err := json.NewDecoder(ready).Decode(&failure); err != nil {
		<-ended
		return fmt.Errorf("the container's supervisor ended before the container was up (its log is %s): %w", log.Name(), err)
	}
	if failure != nil {
		<-ended
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), failure)
		}
		return failure
	}
	return nil
}
