package transfer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"midge/artifacts"
)

// stageWriter writes files on a stage. One goroutine uses it; it holds the
// directory it has written to last.
type stageWriter struct {
	stage *stage
	node  *node
	dir   *os.Root
}

func (s *stage) newWriter() *stageWriter { return &stageWriter{stage: s} }

func (w *stageWriter) close() error {
	if w.dir == nil {
		return nil
	}
	dir := w.dir
	w.dir, w.node = nil, nil
	return dir.Close()
}

// enter opens the directory of a node, made if need be.
func (w *stageWriter) enter(n *node) error {
	if w.node == n {
		return nil
	}
	if err := w.close(); err != nil {
		return err
	}
	name, err := w.stage.mkdir(n)
	if err != nil {
		return err
	}
	if w.dir, err = w.stage.root.OpenRoot(name); err != nil {
		return err
	}
	w.node = n
	return nil
}

// mkdir makes the directory of a node and gives its name on the stage.
func (s *stage) mkdir(n *node) (string, error) {
	name := localName(n.path)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.made[n.path]; ok {
		return name, nil
	}
	if err := s.root.MkdirAll(name, 0o700); err != nil {
		return "", err
	}
	s.made[n.path] = struct{}{}
	return name, nil
}

// localName gives a path of the tree as the system writes it.
func localName(path string) string {
	if path == "" {
		return "."
	}
	return filepath.FromSlash(path)
}

func (w *stageWriter) open(n *node, name string, flags int) (*os.File, error) {
	if err := w.enter(n); err != nil {
		return nil, err
	}
	return w.dir.OpenFile(name, flags, 0o600)
}

// put writes a content to where it goes.
func (w *stageWriter) put(targets []target, content []byte) error {
	for _, to := range targets {
		var err error
		if to.entry.Content.Kind == artifacts.KindList {
			err = w.chunk(to, content)
		} else {
			err = w.file(to.node, to.entry, content)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// file writes a whole file, with its mode and time.
func (w *stageWriter) file(n *node, e *artifacts.Entry, content []byte) (err error) {
	f, err := w.open(n, e.Name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(fileMode(e.Mode))
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %q: %w", n.join(e.Name), err)
	}
	return setTime(w.dir, e.Name, e)
}

// chunk writes a chunk of a large file. Its mode and time are set when it is moved.
func (w *stageWriter) chunk(to target, content []byte) error {
	f, err := w.open(to.node, to.entry.Name, os.O_WRONLY)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(content, to.offset)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %q: %w", to.node.join(to.entry.Name), err)
	}
	return nil
}

// fileMode gives mode bits as the os package has them.
func fileMode(mode uint16) os.FileMode {
	m := os.FileMode(mode & 0o777)
	for bit, flag := range map[uint16]os.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if mode&bit != 0 {
			m |= flag
		}
	}
	return m
}

// setTime gives a file or directory its time, if that is known.
func setTime(root *os.Root, name string, e *artifacts.Entry) error {
	if e.ModTime == 0 {
		return nil
	}
	t := time.Unix(0, e.ModTime)
	return root.Chtimes(name, t, t)
}
