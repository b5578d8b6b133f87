package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// socketListener listens on a unix socket, and removes its file when it is closed.
type socketListener struct {
	*net.UnixListener
	path    string
	file    os.FileInfo
	madeDir bool // the directory of the file was not there before
	remove  func() error
}

// listenSocket listens on a unix socket that its owner and group may use. A socket
// that nobody listens on is replaced; one that somebody does is an *InUseError.
func listenSocket(path, group string) (*socketListener, error) {
	if err := checkSocketFree(path); err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	_, err := os.Stat(dir)
	madeDir := errors.Is(err, os.ErrNotExist)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the directory of the socket: %w", err)
	}
	// Nobody reaches a private directory, so that the socket has its mode from the
	// first moment that it can be opened; and the rename replaces a stale one at once.
	private, err := os.MkdirTemp(dir, ".midge")
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	defer os.RemoveAll(private)
	name := filepath.Join(private, "s")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	listener.SetUnlinkOnClose(false)
	l := &socketListener{UnixListener: listener, path: path, madeDir: madeDir}
	l.remove = sync.OnceValue(l.removeFile)
	if err := l.publish(name, group); err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %s: %w", path, err), listener.Close())
	}
	return l, nil
}

// checkSocketFree tells whether the path can be taken.
func checkSocketFree(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("listen on %s: %w", path, err)
	case info.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("%s is there and is no socket: remove it, or choose another path with --socket", path)
	}
	conn, err := net.Dial("unix", path)
	switch {
	case err == nil:
		return errors.Join(&InUseError{What: "the socket " + path, Advice: "choose another path with --socket"}, conn.Close())
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, os.ErrNotExist):
		return nil
	}
	return fmt.Errorf("see who listens on %s: %w", path, err)
}

// publish gives the socket its mode and group and moves it to its path.
func (l *socketListener) publish(name, group string) error {
	if err := os.Chmod(name, 0o660); err != nil {
		return err
	}
	if group != "" {
		if err := giveToGroup(name, group); err != nil {
			return err
		}
	}
	if err := os.Rename(name, l.path); err != nil {
		return err
	}
	info, err := os.Lstat(l.path)
	l.file = info
	return err
}

// giveToGroup gives a file to a group, if there is one of that name.
func giveToGroup(path, name string) error {
	group, err := user.LookupGroup(name)
	if unknown := user.UnknownGroupError(""); errors.As(err, &unknown) || errors.Is(err, os.ErrNotExist) {
		return nil // in a container there may be no /etc/group at all
	}
	if err != nil {
		return fmt.Errorf("look up the group %q: %w", name, err)
	}
	gid, err := strconv.Atoi(group.Gid)
	if err != nil {
		return fmt.Errorf("look up the group %q: %w", name, err)
	}
	return os.Chown(path, -1, gid)
}

// Close stops listening and removes the file, and its directory if that was made for it. Later calls do nothing.
func (l *socketListener) Close() error {
	return errors.Join(l.remove(), l.UnixListener.Close())
}

func (l *socketListener) removeFile() error {
	// Another server may have taken the path meanwhile.
	if info, err := os.Lstat(l.path); err != nil || !os.SameFile(info, l.file) {
		return nil
	}
	if err := os.Remove(l.path); err != nil || !l.madeDir {
		return err
	}
	// It stays when somebody has put something else there.
	_ = os.Remove(filepath.Dir(l.path))
	return nil
}
