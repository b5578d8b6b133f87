package pid1

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// endRest kills every process of the container that belongs to none of the
// processes still running: neither in the session of one nor started by one. What
// a process that has ended left behind is among them, wherever it went.
// It is called with mu held, and reaping resumes after it.
func (m *first) endRest() {
	// A process may fork while it is looked for; its child is found by the next
	// round. One that was killed forks no more, but may take its time to go.
	killed := make(map[processStat]bool)
	for m.signalRound(unix.SIGKILL, killed, m.belongs) {
	}
}

// belongs tells whether p is one of the running processes, or theirs, or nobody's here.
func (m *first) belongs(p processStat, byPID map[int]processStat) bool {
	for range len(byPID) + 1 { // a parent that was replaced meanwhile could make a ring
		if m.running[p.pid] != nil || m.running[p.session] != nil || m.fromOutside(p) {
			return true
		}
		parent, ok := byPID[p.parent]
		if !ok {
			return false
		}
		p = parent
	}
	return false
}

// fromOutside tells whether a process was put into the container by others.
func (m *first) fromOutside(p processStat) bool { return m.shared && p.parent == 0 && p.pid != 1 }

// signalOwn sends a signal to all processes but those from outside and theirs. With
// SIGKILL it goes on until none is left that has not got it.
func (m *first) signalOwn(s syscall.Signal) {
	signalled := make(map[processStat]bool)
	for m.signalRound(s, signalled, m.guest) && s == unix.SIGKILL {
	}
}

// signalRound sends a signal to all processes but those that are spared, once to each,
// and tells whether it did to one that no round before had.
func (m *first) signalRound(s syscall.Signal, signalled map[processStat]bool, spared func(processStat, map[int]processStat) bool) bool {
	all := readProcesses()
	byPID := make(map[int]processStat, len(all))
	for _, p := range all {
		byPID[p.pid] = p
	}
	found := false
	for _, p := range all {
		if p.pid == 1 || p.ended || signalled[p.identity()] || spared(p, byPID) {
			continue
		}
		if unix.Kill(p.pid, s) == nil {
			signalled[p.identity()] = true
			found = true
		}
	}
	return found
}

// guest tells whether a process came from outside, or was started by one that did.
func (m *first) guest(p processStat, byPID map[int]processStat) bool {
	for range len(byPID) + 1 {
		if m.fromOutside(p) {
			return true
		}
		parent, ok := byPID[p.parent]
		if !ok {
			return false
		}
		p = parent
	}
	return false
}

// processStat is what matters of /proc/PID/stat.
type processStat struct {
	pid, parent, session int
	started              int64 // in clock ticks since the machine's start
	ended                bool  // and not reaped yet
}

// identity is what a process has for good, and no other has, whose number may be the same.
func (p processStat) identity() processStat { return processStat{pid: p.pid, started: p.started} }

func readProcesses() []processStat {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var all []processStat
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil { // ended meanwhile
			continue
		}
		if p, err := parseStat(line); err == nil {
			all = append(all, p)
		}
	}
	return all
}

// parseStat parses a line of /proc/PID/stat. The program's name, in parentheses,
// may hold anything.
func parseStat(line []byte) (processStat, error) {
	open, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return processStat{}, fmt.Errorf("%q is no line of a process's stat", line)
	}
	fields := bytes.Fields(line[end+1:])
	if len(fields) < 20 {
		return processStat{}, fmt.Errorf("%q is no line of a process's stat", line)
	}
	pid, pidErr := strconv.Atoi(string(bytes.TrimSpace(line[:open])))
	parent, parentErr := strconv.Atoi(string(fields[1]))
	session, sessionErr := strconv.Atoi(string(fields[3]))
	started, startedErr := strconv.ParseInt(string(fields[19]), 10, 64)
	if err := errors.Join(pidErr, parentErr, sessionErr, startedErr); err != nil {
		return processStat{}, fmt.Errorf("%q is no line of a process's stat: %w", line, err)
	}
	state := fields[0][0]
	return processStat{pid: pid, parent: parent, session: session, started: started, ended: state == 'Z' || state == 'X'}, nil
}
