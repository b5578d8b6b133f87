package agent

import (
	"bytes"
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
// container in dir, which gets the namespaces, and returns when the container is up. The supervisor stays
// when this process ends. When ctx ends before, or on any other error, no
// supervisor is left, nor anything that it made.
func Launch(ctx context.Context, program, dir string, namespaces Namespaces) error {
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

	cmd := command(program, ModeSupervise, dir, namespaces, theirs)
	cmd.Stdout, cmd.Stderr = log, log
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

// command is the program in a mode that has namespaces. ready is what it inherits
// before these.
func command(program, mode, dir string, namespaces Namespaces, ready *os.File) *exec.Cmd {
	names, files := namespaces.named()
	cmd := exec.Command(program, append([]string{mode, dir}, names...)...)
	cmd.ExtraFiles = append([]*os.File{ready}, files...)
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Cloneflags: unix.CLONE_NEWNS}
	return cmd
}

// TryMounts tells why the mounts of the container in dir cannot be made, or its root
// file system not be written, nil when both can. Nothing stays.
func TryMounts(program, dir string, namespaces Namespaces) error {
	out, err := command(program, ModeTry, dir, namespaces, nil).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s (%w)", bytes.TrimSpace(out), err)
	}
	return nil
}

func tryMounts(dir string, namespaces Namespaces) error {
	config, err := ReadConfig(dir)
	if err != nil {
		return err
	}
	return makeMounts(config, namespaces, func() error {
		return os.WriteFile(filepath.Join(config.Rootfs, "written"), nil, 0o600)
	})
}
