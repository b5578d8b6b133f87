package pid1

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// An ending is a signal that all processes were sent to end them.
//
// A shell that is just starting a command has all signals blocked. One that it is sent
// then ends it when the command runs, which was not there to be sent it, and lives on.
// So the container is looked at again and again, for what was started so.
//
// Who catches the signal may start others to clean up, and those are not to be sent it;
// nor is anybody to be sent it twice, which many programs take for "at once". They are
// told apart by their sessions, which a process has from the one that started it: in one
// in which everybody had the signal's default action, nobody outlives it to start another
// for a purpose. What is found there and is new was missed, once its parent has ended: a
// parent that lives may have blocked the signal to wait for it. In all other sessions what
// was missed has until the supervisor kills it.
type ending struct {
	signal syscall.Signal
	// doomed are the sessions in which all had the default action.
	doomed map[int]bool
	// signalled are those that were there, or were found since, by pid and start.
	signalled map[processStat]bool
	over      chan struct{} // closed when no more is to be looked for
}

const (
	// The pause before the first look is about what it takes a shell to start a command.
	firstPause = time.Millisecond
	// The last pause is short to who waits for the container, and no work to speak of.
	lastPause = 500 * time.Millisecond
)

// endAll sends a signal to all other processes, and frameNone once there are none.
func (m *first) endAll(s syscall.Signal) {
	m.mu.Lock()
	m.stopEnding()
	e := &ending{signal: s, doomed: make(map[int]bool), signalled: make(map[processStat]bool), over: make(chan struct{})}
	m.ending = e
	if s != unix.SIGKILL { // of which nobody is missed
		m.look(e)
	}
	if m.shared {
		m.signalOwn(s)
	} else {
		// ESRCH says that there are none.
		_ = unix.Kill(-1, s)
	}
	if len(e.doomed) > 0 {
		m.repeating.Go(func() { m.repeat(e) })
	}
	m.mu.Unlock()
	m.reap()
}

// stopEnding is called with mu held.
func (m *first) stopEnding() {
	if m.ending != nil {
		close(m.ending.over)
		m.ending = nil
	}
}

// look notes who is there, before they are sent the signal.
func (m *first) look(e *ending) {
	all := readProcesses()
	byPID := make(map[int]processStat, len(all))
	for _, p := range all {
		byPID[p.pid] = p
	}
	for _, p := range all {
		if p.pid == 1 || p.ended || m.guest(p, byPID) {
			continue
		}
		e.signalled[p.identity()] = true
		before, known := e.doomed[p.session]
		e.doomed[p.session] = (before || !known) && hasDefault(p.pid, e.signal)
	}
	for session, doomed := range e.doomed {
		if !doomed {
			delete(e.doomed, session)
		}
	}
}

// repeat sends the signal to those that were missed, until it is over.
func (m *first) repeat(e *ending) {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		select {
		case <-e.over:
			return
		case <-time.After(pause):
		}
		m.mu.Lock()
		if m.ending == e {
			m.signalRound(e.signal, e.signalled, e.spares)
		}
		m.mu.Unlock()
	}
}

// spares tells whether a process that is new may have been started for a purpose.
func (e *ending) spares(p processStat, byPID map[int]processStat) bool {
	if !e.doomed[p.session] {
		return true
	}
	// The number may be another session's meanwhile.
	if leader, ok := byPID[p.session]; ok && !e.signalled[leader.identity()] {
		return true
	}
	// One whose parent has ended is the child of one that is in no session of here.
	parent, ok := byPID[p.parent]
	return ok && parent.session == p.session
}

// hasDefault tells whether a process neither catches nor ignores a signal.
func hasDefault(pid int, s syscall.Signal) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil { // it has ended, and nobody knows what it had
		return false
	}
	return statusHasDefault(status, s)
}

// statusHasDefault reads /proc/PID/status.
func statusHasDefault(status []byte, s syscall.Signal) bool {
	found := 0
	for line := range bytes.Lines(status) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if string(name) != "SigIgn" && string(name) != "SigCgt" {
			continue
		}
		set, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 16, 64)
		if err != nil || set&(1<<(s-1)) != 0 {
			return false
		}
		found++
	}
	return found == 2
}
