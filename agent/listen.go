package agent

import (
	"context"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"midge/agent/thread"
)

// Listen gives a listener on the container's own loopback, for the process with that
// id to connect to: one that is running, or will be. The supervisor keeps the socket
// until that process has ended, so that each further call gives a listener on the
// same address. Of a process that has ended it is an *Error of ErrorNotFound.
func (c *Client) Listen(ctx context.Context, id string) (net.Listener, error) {
	r, err := c.call(ctx, request{Operation: opListen, Process: id})
	if err != nil && isEnd(err) {
		// Without a supervisor it has ended, unless it has not begun.
		if _, unknown := c.Process(id); unknown == nil {
			return nil, notFound(id)
		}
	}
	if err != nil {
		return nil, err
	}
	defer r.closeFiles()
	if len(r.files) != 1 {
		return nil, fmt.Errorf("the container's supervisor gave %d listeners", len(r.files))
	}
	return net.FileListener(r.files[0])
}

func (r response) closeFiles() {
	for _, file := range r.files {
		file.Close()
	}
}

// listen gives a copy of the socket that listens for the process.
func (s *supervisor) listen(id string) ([]*os.File, error) {
	// Between a process's directory and its being known there is nothing to tell it
	// from one that has ended.
	s.starting.Lock()
	defer s.starting.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return nil, errStopping
	}
	if err := s.checkNotEnded(id); err != nil {
		return nil, err
	}
	listener := s.listeners[id]
	if listener == nil {
		var err error
		if listener, err = listenOnLoopback(s.firstPID()); err != nil {
			return nil, err
		}
		s.listeners[id] = listener
	}
	file, err := listener.File()
	if err != nil {
		return nil, fmt.Errorf("copy the listener of process %q: %w", id, err)
	}
	return []*os.File{file}, nil
}

// checkNotEnded tells of a process that runs no more. It is called with mu held.
func (s *supervisor) checkNotEnded(id string) error {
	if p := s.processes[id]; p != nil {
		if p.hasExited() {
			return notFound(id)
		}
		return nil
	}
	path, err := processPath(s.dir, id)
	if err != nil {
		return err
	}
	// A supervisor before this one had it.
	known, err := exists(path)
	if err == nil && known {
		return notFound(id)
	}
	return err
}

// closeListener is called when the process has ended, or was not started.
func (s *supervisor) closeListener(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if listener := s.listeners[id]; listener != nil {
		listener.Close()
		delete(s.listeners, id)
	}
}

// closeListeners closes those of processes that were never started.
func (s *supervisor) closeListeners() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, listener := range s.listeners {
		listener.Close()
	}
	clear(s.listeners)
}

// listenOnLoopback listens in the network that the process is in, on a port that
// nobody has there: what runs in the container may want any that is well known.
func listenOnLoopback(pid int) (*net.TCPListener, error) {
	network, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return nil, fmt.Errorf("listen in the container: %w", err)
	}
	defer network.Close()
	var listener *net.TCPListener
	err = thread.Run(func() (err error) {
		if err := unix.Setns(int(network.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter the network namespace: %w", err)
		}
		listener, err = net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen in the container: %w", err)
	}
	return listener, nil
}
