package delegation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// NeedsScope tells whether systemd may take controllers from cgroups that the program, as
// root, makes at the hierarchy's top, as it does when it reloads its units: where it is the
// machine's manager, see sd_booted(3), the hierarchy of version 2 is the only one, and the
// program is not of a service with Delegate=. For such a service, which it knows
// whether that runs or not, it keeps them at the top.
func NeedsScope() bool {
	if info, err := os.Lstat("/run/systemd/system"); err != nil || !info.IsDir() || !unified() {
		return false
	}
	own, err := cgroupOf(os.Getpid())
	return err != nil || !inDelegatedService(own, isDelegated)
}

// inDelegatedService tells whether the unit that a cgroup belongs to is a service to which
// it is delegated. That of a scope is delegated only as long as the program runs.
func inDelegatedService(own string, delegated func(cgroup string) bool) bool {
	for cgroup := own; cgroup != "/"; cgroup = path.Dir(cgroup) {
		switch path.Ext(cgroup) {
		case ".service":
			return delegated(cgroup)
		case ".scope":
			return false
		}
	}
	return false
}

// isDelegated tells whether systemd has delegated a cgroup: it says so at its directory.
func isDelegated(cgroup string) bool {
	value := make([]byte, 1)
	n, err := unix.Lgetxattr(filepath.Join(top, cgroup), "trusted.delegate", value)
	return err == nil && string(value[:n]) == "1"
}

// A Scope is a unit that systemd has made, whose cgroup is delegated. It is there as long
// as a process is in it: one that is its holder, or any in a cgroup below.
type Scope struct {
	Delegation
	// Unit is its name.
	Unit string

	holder *exec.Cmd
	ended  chan struct{} // closed when the holder has
}

// NewScope has systemd make a scope, by its program systemd-run. The command is the holder:
// it must give back on standard output what it reads, until standard input ends,
// which is when this process does, if not before. ctx is for the making alone.
func NewScope(ctx context.Context, command ...string) (*Scope, error) {
	s := &Scope{Unit: fmt.Sprintf("midge-%08x.scope", rand.Uint32()), ended: make(chan struct{})}
	s.holder = exec.Command("systemd-run", append([]string{
		"--scope", "--quiet", "--collect", "--unit=" + s.Unit, "--description=Containers of midge-server",
		"--property=Delegate=yes",
		// A scope has a limit of its own by default, which is for all containers together.
		"--property=TasksMax=infinity",
		// A container's first process does not end by systemd's first signal.
		"--property=TimeoutStopSec=10",
		"--"}, command...)...)
	// What is typed at a terminal to end this process is not meant for the holder.
	s.holder.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	if err := s.take(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// start returns when the holder is in the scope.
func (s *Scope) start(ctx context.Context) error {
	stdin, err := s.holder.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := s.holder.StdoutPipe()
	if err != nil {
		return err
	}
	var said bytes.Buffer
	s.holder.Stderr = &said
	if err := s.holder.Start(); err != nil {
		return err
	}
	kill := context.AfterFunc(ctx, func() { _ = s.holder.Process.Kill() })
	// systemd-run becomes the holder, which is the first to answer.
	_, err = stdin.Write([]byte("\n"))
	if err == nil {
		_, err = io.ReadFull(stdout, make([]byte, 1))
	}
	if err == nil && kill() {
		go func() {
			defer close(s.ended)
			_ = s.holder.Wait() // however it ends
		}()
		return nil
	}
	stdin.Close()
	ended := s.holder.Wait()
	if ctx.Err() != nil {
		return fmt.Errorf("systemd-run does not come to an end: %w", ctx.Err())
	}
	return fmt.Errorf("systemd-run says %q: %w", bytes.TrimSpace(said.Bytes()), errors.Join(err, ended))
}

// take makes room in the scope's cgroup.
func (s *Scope) take() error {
	cgroup, err := cgroupOf(s.holder.Process.Pid)
	if err != nil {
		return err
	}
	if path.Base(cgroup) != s.Unit {
		return fmt.Errorf("systemd-run has left its command in the cgroup %s", cgroup)
	}
	s.Cgroup = cgroup
	dir := filepath.Join(top, cgroup)
	if s.Controllers, err = useful(dir); err != nil {
		return err
	}
	if err := divide(dir, s.holder.Process.Pid, s.Controllers); err != nil {
		return fmt.Errorf("its cgroup %s cannot be divided: %w", cgroup, err)
	}
	return nil
}

// Ended tells whether the scope has no holder any more: it was closed, or somebody has
// ended the holder, or the unit.
func (s *Scope) Ended() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// Close ends the holder. Processes in cgroups below go on.
func (s *Scope) Close() {
	_ = s.holder.Process.Kill() // it has ended, or does
	<-s.ended
}
