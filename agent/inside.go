package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"midge/agent/pid1"
)

// SuperviseInside supervises the container that the calling process is the first
// process of, as Supervise does from outside: in dir, where its configuration lies,
// for as long as nobody has it stopped. up is called once a Client is served. What
// there is to know of earlier processes is found in dir, so that it may be called
// again: the container is started again then. It may be called once at a time.
//
// The container's file systems, limits and network are made by others. Of the
// configuration only what is about processes is read.
func SuperviseInside(ctx context.Context, dir string, up func()) error {
	if os.Getpid() != 1 {
		return errors.New("midge-agent must be the first process of its container: a pod may not share its process namespace")
	}
	if err := os.MkdirAll(filepath.Join(dir, processDir), 0o700); err != nil {
		return err
	}
	if err := os.Chdir(dir); err != nil {
		return err
	}
	lock, err := lockContainer(dir)
	if err != nil {
		return err
	}
	s := newSupervisor(dir, lock)
	s.inside = true
	served, err := s.startInside(ctx)
	if err != nil {
		return errors.Join(err, s.close(ctx), lock.Close())
	}
	up()
	err = s.run(ctx)
	<-served
	return err
}

// startInside has this process start processes, too. The channel is closed when it
// does no longer.
func (s *supervisor) startInside(ctx context.Context) (_ <-chan struct{}, err error) {
	if s.config, err = ReadConfig(s.dir); err != nil {
		return nil, err
	}
	hierarchies, err := FindHierarchies()
	if err != nil {
		return nil, err
	}
	s.cgroup = hierarchies.Cgroup("/") // what a container sees of them is its own
	if s.listener, err = listen(); err != nil {
		return nil, err
	}
	conn, inherited, err := pid1.SocketPair()
	if err != nil {
		return nil, err
	}
	s.first = pid1.Supervise(conn, s.processEnded)
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := pid1.MainShared(inherited); err != nil {
			slog.Error("no more processes are started", "error", err)
		}
	}()
	select {
	case <-s.first.Ready():
		return served, nil
	case <-s.first.Gone():
		return served, fmt.Errorf("start to start processes: %w", pid1.ErrGone)
	case <-ctx.Done():
		return served, ctx.Err()
	}
}
