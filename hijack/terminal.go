package hijack

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/term"

	"midge/runtime"
)

// Terminal is the user's.
type Terminal struct {
	In  *os.File // a terminal
	Out *os.File // its size counts; In's does when it is no terminal

	mu    sync.Mutex
	saved *term.State // set while the terminal is raw
}

// IsTerminal tells whether a file is a terminal.
func IsTerminal(file *os.File) bool { return term.IsTerminal(int(file.Fd())) }

func (t *Terminal) size() (runtime.WindowSize, error) {
	for _, file := range []*os.File{t.Out, t.In} {
		if file == nil || !IsTerminal(file) {
			continue
		}
		columns, rows, err := term.GetSize(int(file.Fd()))
		if err != nil {
			return runtime.WindowSize{}, fmt.Errorf("get the size of the terminal: %w", err)
		}
		return runtime.WindowSize{Columns: clamp(columns), Rows: clamp(rows)}, nil
	}
	return runtime.WindowSize{}, nil
}

func clamp(n int) uint16 { return uint16(min(max(n, 0), 1<<16-1)) }

// makeRaw has the terminal pass on all that is typed.
func (t *Terminal) makeRaw() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.saved != nil {
		return nil
	}
	saved, err := term.MakeRaw(int(t.In.Fd()))
	if err != nil {
		return fmt.Errorf("set the terminal to raw mode: %w", err)
	}
	t.saved = saved
	return nil
}

// restore gives the terminal back as it was. Calling it again does nothing.
func (t *Terminal) restore() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.saved == nil {
		return nil
	}
	saved := t.saved
	t.saved = nil
	if err := term.Restore(int(t.In.Fd()), saved); err != nil {
		return fmt.Errorf("restore the terminal: %w", err)
	}
	return nil
}
