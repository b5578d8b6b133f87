package pid1

import (
	"os"
	"testing"
)

func TestParseStat(t *testing.T) {
	const rest = " -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987 0 0"
	tests := map[string]processStat{
		"12 (sh) S 1 12 11 34816" + rest:          {pid: 12, parent: 1, session: 11, started: 987},
		"13 (a) b) (c) Z 12 12 11 0" + rest:       {pid: 13, parent: 12, session: 11, started: 987, ended: true},
		"14 (new\nline 1 2 3) R 1 14 14 0" + rest: {pid: 14, parent: 1, session: 14, started: 987},
	}
	for line, want := range tests {
		if got, err := parseStat([]byte(line)); err != nil || got != want {
			t.Errorf("%q is %+v (%v), want %+v", line, got, err, want)
		}
	}
	for _, line := range []string{"", "12", "12 sh S 1 12 11", ")12 (sh", "x (sh) S 1 1 1 0" + rest, "12 (sh) S 1 12"} {
		if got, err := parseStat([]byte(line)); err == nil {
			t.Errorf("%q was taken for %+v", line, got)
		}
	}
	own, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseStat(own)
	if err != nil || got.pid != os.Getpid() || got.parent != os.Getppid() || got.started == 0 || got.ended {
		t.Errorf("this process is %+v (%v)", got, err)
	}
}

func TestBelongs(t *testing.T) {
	m := &first{running: map[int]*process{10: {}, 20: {}}}
	all := map[int]processStat{}
	for _, p := range []processStat{
		{pid: 1},
		{pid: 10, parent: 1, session: 10},
		{pid: 11, parent: 10, session: 10},
		{pid: 12, parent: 11, session: 12}, // a new session below a running one
		{pid: 13, parent: 1, session: 20},  // an orphan in the session of one
		{pid: 30, parent: 1, session: 30},  // left behind
		{pid: 31, parent: 30, session: 30},
		{pid: 40, parent: 41, session: 1}, {pid: 41, parent: 40, session: 1}, // a ring
	} {
		all[p.pid] = p
	}
	for pid, want := range map[int]bool{10: true, 11: true, 12: true, 13: true, 30: false, 31: false, 40: false, 41: false} {
		if got := m.belongs(all[pid], all); got != want {
			t.Errorf("process %d belongs to a running one: %v, want %v", pid, got, want)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("12 (sh) S 1 12 11 34816 12 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987 0 0"))
	f.Add([]byte("1 ()) ("))
	f.Fuzz(func(t *testing.T, line []byte) {
		_, _ = parseStat(line)
	})
}
