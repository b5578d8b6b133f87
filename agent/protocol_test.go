package agent

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"midge/agent/pid1"
)

func TestInputFrame(t *testing.T) {
	for _, in := range []input{{process: "task", offset: 7, data: []byte("abc")}, {process: strings.Repeat("p", 64), offset: 1 << 40}} {
		got, err := parseInput(in.append(nil))
		if err != nil || got.process != in.process || got.offset != in.offset || !bytes.Equal(got.data, in.data) {
			t.Errorf("%+v came as %+v (%v)", in, got, err)
		}
	}
	for _, b := range [][]byte{nil, {4, 't', 'a', 's', 'k'}, input{process: "task", offset: -1}.append(nil)} {
		if got, err := parseInput(b); err == nil {
			t.Errorf("%x was taken for %+v", b, got)
		}
	}
}

func TestProgressFrame(t *testing.T) {
	for _, p := range []progress{{}, {end: 1 << 40}, {end: 5, ended: true}} {
		if got, err := parseProgress(p.append(nil)); err != nil || got != p {
			t.Errorf("%+v came as %+v (%v)", p, got, err)
		}
	}
	if got, err := parseRead(appendRead(nil, 77)); err != nil || got != 77 {
		t.Errorf("77 came as %d (%v)", got, err)
	}
	for _, b := range [][]byte{nil, make([]byte, 8), make([]byte, 10), append(make([]byte, 8), 2)} {
		if got, err := parseProgress(b); err == nil {
			t.Errorf("%x was taken for %+v", b, got)
		}
	}
}

func TestErrorOf(t *testing.T) {
	failure := &pid1.Failure{Kind: pid1.FailedExecutable, Message: "missing", Path: "/x", Found: true}
	own := &Error{Kind: ErrorExists, Message: "exists"}
	tests := []struct {
		err  error
		want Error
	}{
		{fmt.Errorf("run: %w", failure), Error{Kind: ErrorExecutable, Message: "missing", Path: "/x", Found: true}},
		{errors.Join(own, nil), *own},
		{fmt.Errorf("start: %w", pid1.ErrGone), Error{Kind: ErrorGone, Message: "start: " + pid1.ErrGone.Error()}},
		{errors.New("other"), Error{Kind: ErrorSystem, Message: "other"}},
	}
	for _, test := range tests {
		if got := errorOf(test.err); got == nil || *got != test.want {
			t.Errorf("%v is %+v, want %+v", test.err, got, test.want)
		}
	}
	if got := errorOf(nil); got != nil {
		t.Errorf("no error is %+v", got)
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(input{process: "task", offset: 7, data: []byte("abc")}.append(nil))
	f.Add(progress{end: 5, ended: true}.append(nil))
	f.Add(appendRead(nil, 5))
	f.Fuzz(func(t *testing.T, b []byte) {
		if in, err := parseInput(b); err == nil && !bytes.Equal(in.append(nil), b) {
			t.Errorf("%x was taken for %+v", b, in)
		}
		if p, err := parseProgress(b); err == nil && !bytes.Equal(p.append(nil), b) {
			t.Errorf("%x was taken for %+v", b, p)
		}
		if n, err := parseRead(b); err == nil && !bytes.Equal(appendRead(nil, n), b) {
			t.Errorf("%x was taken for %d", b, n)
		}
	})
}

func TestProcessInput(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	in := &processInput{file: write}
	steps := []struct {
		offset   int64
		data     string
		received int64
		err      string
	}{
		{0, "abc", 3, ""},
		{0, "abc", 3, ""},     // again
		{1, "bcde", 5, ""},    // half of it again
		{5, "", 5, ""},        // nothing
		{2, "", 5, ""},        // nothing, again
		{6, "x", 5, "offset"}, // one byte is missing
		{5, "f\n", 7, ""},
	}
	for i, step := range steps {
		received, err := in.write(step.offset, []byte(step.data))
		if received != step.received || (err == nil) != (step.err == "") || err != nil && !strings.Contains(err.Error(), step.err) {
			t.Errorf("step %d: %d bytes received (%v), want %d and %q", i, received, err, step.received, step.err)
		}
	}
	if err := errors.Join(in.closeStdin(), in.closeStdin()); err != nil {
		t.Error(err)
	}
	if received, err := in.write(7, []byte("x")); received != 7 || err == nil {
		t.Errorf("after its end %d bytes were received (%v)", received, err)
	}
	var got bytes.Buffer
	if _, err := got.ReadFrom(read); err != nil || got.String() != "abcdef\n" {
		t.Errorf("%q came (%v)", got.String(), err)
	}
}

func TestParseOOMKills(t *testing.T) {
	for file, want := range map[string]int64{
		"oom_kill_disable 0\nunder_oom 0\noom_kill 3\n":              3,
		"low 0\nhigh 0\nmax 12\noom 4\noom_kill 2\noom_group_kill 0": 2,
		"": 0,
	} {
		if got, err := parseOOMKills([]byte(file)); err != nil || got != want {
			t.Errorf("%q has %d (%v), want %d", file, got, err, want)
		}
	}
	if _, err := parseOOMKills([]byte("oom_kill many\n")); err == nil {
		t.Error("a count that is no number was taken")
	}
}

func TestCheckMountPoint(t *testing.T) {
	rootfs, volume := t.TempDir(), t.TempDir()
	for _, dir := range []string{"usr/lib", "work/dir"} {
		if err := os.MkdirAll(filepath.Join(rootfs, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{
		"lib": "usr/lib", "var": "/usr", "work/up": "../usr", "work/out": "../../etc", "work/dir/deep": "../../../..",
		"loop": "loop", "missing": "/nothing/here",
	} {
		if err := os.Symlink(target, filepath.Join(rootfs, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../../..", filepath.Join(volume, "out")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(rootfs, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	points := []MountPoint{{Target: "/in", Source: volume}}
	for target, want := range map[string]string{
		"/":               "",
		"/new/dir":        "",
		"/lib/x":          "",
		"/var/lib":        "",
		"/work/up/lib":    "",
		"/missing/x":      "",
		"/in":             "",
		"/in/new":         "",
		"/work/out/x":     "leads out",
		"/work/out":       "leads out",
		"/work/dir/deep":  "leads out",
		"/in/out/x":       "leads out",
		"/loop/x":         "too many",
		"/file":           "file there",
		"/file/x":         "no directory",
		"/work/dir/deeps": "",
	} {
		err := checkMountPoint(rootfs, points, target)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("mounting at %s: error %v, want %q", target, err, want)
		}
	}
}
