package pod

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Install copies the running program into dir, and makes the directories of so many
// volumes there. Whoever the container runs as may write in them.
func Install(dir string, volumes int) error {
	if err := bringProgram(filepath.Join(dir, programFile)); err != nil {
		return fmt.Errorf("bring midge-agent into the pod: %w", err)
	}
	for number := range volumes {
		path := filepath.Join(dir, VolumeDir(number))
		if err := os.MkdirAll(path, 0o755); err != nil {
			return fmt.Errorf("make volume %d: %w", number, err)
		}
		if err := os.Chmod(path, 0o777); err != nil { // whatever the umask
			return fmt.Errorf("make volume %d: %w", number, err)
		}
	}
	return nil
}

func bringProgram(path string) error {
	// An init container that was restarted finds what it left.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	return errors.Join(copyProgram(f), f.Close())
}

// copyProgram writes the running program.
func copyProgram(to io.Writer) error {
	program, err := os.Open(ownProgram)
	if err != nil {
		return err
	}
	defer program.Close()
	_, err = io.Copy(to, program)
	return err
}
