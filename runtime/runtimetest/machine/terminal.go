package machine

import (
	"context"
	"io"
	"sync"
	"syscall"
)

// WindowSize is a terminal's size in characters.
type WindowSize struct{ Columns, Rows uint16 }

// terminal is a stream between a keyboard and programs, with the line discipline
// that a kernel puts between: it echoes, edits lines, makes signals of keys, and
// has output begin its lines at the left.
type terminal struct {
	output func(ctx context.Context, p []byte) error
	signal func(name string)

	writing sync.Mutex // held while output is written, so that writes stay whole

	mu      sync.Mutex
	changed chan struct{}
	size    WindowSize
	modes   terminalModes
	line    []byte   // being edited
	ready   [][]byte // lines to be read; an empty one is an end of file
	hungUp  bool
}

// terminalModes are what stty sets.
type terminalModes struct {
	echo      bool
	canonical bool // lines are edited before they are read
	signals   bool // keys make signals
	newlines  bool // \n is written as \r\n, and \r read as \n
}

var saneModes = terminalModes{echo: true, canonical: true, signals: true, newlines: true}

// What the keys of the line discipline send.
const (
	keyInterrupt = 0x03
	keyEnd       = 0x04
	keyBackspace = 0x08
	keyKillLine  = 0x15
	keyKillWord  = 0x17
	keyQuit      = 0x1c
	keyDelete    = 0x7f
)

// maxTyped is how many bytes wait to be read before who types has to wait.
const maxTyped = 64 << 10

func newTerminal(size WindowSize, output func(context.Context, []byte) error, signal func(string)) *terminal {
	return &terminal{output: output, signal: signal, changed: make(chan struct{}), size: size, modes: saneModes}
}

func (t *terminal) change() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// wait waits for a change. The terminal is locked, and locked again afterwards.
func (t *terminal) wait(ctx context.Context) error {
	changed := t.changed
	t.mu.Unlock()
	defer t.mu.Lock()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (t *terminal) read(ctx context.Context, p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.ready) == 0 {
		if t.hungUp {
			return 0, io.EOF
		}
		if err := t.wait(ctx); err != nil {
			return 0, err
		}
	}
	defer t.change()
	if len(t.ready[0]) == 0 {
		t.ready = t.ready[1:]
		return 0, io.EOF
	}
	n := copy(p, t.ready[0])
	if t.ready[0] = t.ready[0][n:]; len(t.ready[0]) == 0 {
		t.ready = t.ready[1:]
	}
	return n, nil
}

func (t *terminal) write(ctx context.Context, p []byte) (int, error) {
	t.mu.Lock()
	newlines := t.modes.newlines
	t.mu.Unlock()
	shown := p
	if newlines {
		shown = returnCarriage(p)
	}
	t.writing.Lock()
	defer t.writing.Unlock()
	if err := t.output(ctx, shown); err != nil {
		return 0, err
	}
	return len(p), nil
}

// returnCarriage puts a \r before each \n.
func returnCarriage(p []byte) []byte {
	made := make([]byte, 0, len(p)+16)
	for _, b := range p {
		if b == '\n' {
			made = append(made, '\r')
		}
		made = append(made, b)
	}
	return made
}

func (t *terminal) close() {}

// press takes what is typed.
func (t *terminal) press(ctx context.Context, p []byte) (int, error) {
	for i, key := range p {
		if err := t.pressKey(ctx, key); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

func (t *terminal) pressKey(ctx context.Context, key byte) error {
	t.mu.Lock()
	for t.typed() >= maxTyped {
		if err := t.wait(ctx); err != nil {
			t.mu.Unlock()
			return err
		}
	}
	if t.hungUp {
		t.mu.Unlock()
		return syscall.EIO
	}
	echo, signal := t.take(key)
	t.change()
	t.mu.Unlock()
	if len(echo) > 0 {
		if _, err := t.write(ctx, echo); err != nil {
			return err
		}
	}
	if signal != "" {
		t.signal(signal)
	}
	return nil
}

func (t *terminal) typed() int {
	n := len(t.line)
	for _, line := range t.ready {
		n += len(line)
	}
	return n
}

// take makes of a key what it is in the present modes, and gives what to echo
// and the signal to send.
func (t *terminal) take(key byte) (echo []byte, signal string) {
	if t.modes.newlines && key == '\r' {
		key = '\n'
	}
	if t.modes.signals && (key == keyInterrupt || key == keyQuit) {
		t.line = nil
		t.ready = nil
		signal = "INT"
		if key == keyQuit {
			signal = "QUIT"
		}
		return t.echo('^', key+'@'), signal
	}
	if !t.modes.canonical {
		t.ready = append(t.ready, []byte{key})
		return t.echo(key), ""
	}
	switch key {
	case keyEnd:
		t.ready = append(t.ready, t.line)
		t.line = nil
		return nil, ""
	case keyBackspace, keyDelete:
		if len(t.line) == 0 {
			return nil, ""
		}
		t.line = t.line[:len(t.line)-1]
		return t.echo('\b', ' ', '\b'), ""
	case keyKillLine, keyKillWord:
		rubout := make([]byte, 0, 3*len(t.line))
		for range t.line {
			rubout = append(rubout, '\b', ' ', '\b')
		}
		t.line = nil
		return t.echo(rubout...), ""
	}
	t.line = append(t.line, key)
	if key == '\n' {
		t.ready = append(t.ready, t.line)
		t.line = nil
	}
	return t.echo(key), ""
}

func (t *terminal) echo(p ...byte) []byte {
	if !t.modes.echo {
		return nil
	}
	return p
}

func (t *terminal) resize(size WindowSize) {
	t.mu.Lock()
	t.size = size
	t.mu.Unlock()
	t.signal("WINCH")
}

func (t *terminal) hangUp() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hungUp = true
	t.change()
}

func (t *terminal) windowSize() WindowSize {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.size
}

func (t *terminal) setModes(set func(*terminalModes)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	set(&t.modes)
	if !t.modes.canonical && len(t.line) > 0 {
		t.ready = append(t.ready, t.line)
		t.line = nil
	}
	t.change()
}
