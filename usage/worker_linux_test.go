package usage

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// disk is where the tests write files that are to reach a disk. /tmp may be memory.
var disk = flag.String("disk", "/var/tmp", "a directory on a disk")

func TestMain(m *testing.M) {
	if work := os.Getenv("USAGE_TEST_WORK"); work != "" {
		if err := doWork(work); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	goleak.VerifyTestMain(m)
}

// worker is a process of this very program that waits in a group of its own until
// it is told to work.
type worker struct {
	*exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
}

// own is what the worker says of itself, to compare with.
type own struct{ CPU time.Duration }

// startWorker starts a worker in new groups and says where those are.
func startWorker(t testing.TB, work string, limits map[string]string) (*worker, Location) {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), "USAGE_TEST_WORK="+work, "USAGE_TEST_DISK="+*disk)
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Cloneflags: syscall.CLONE_NEWNET}
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	directories := makeGroups(t)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	w := &worker{command, stdin, bufio.NewReader(stdout)}
	t.Cleanup(func() {
		_ = w.Process.Kill()
		_ = w.Wait()
	})
	w.say(t, "") // What starting it took is not part of its work, but it cannot be left out.
	for _, directory := range directories {
		for file, value := range limits {
			path := filepath.Join(directory, file)
			if _, err := os.Stat(path); err == nil {
				writeFile(t, path, value)
			}
		}
		writeFile(t, filepath.Join(directory, "cgroup.procs"), strconv.Itoa(w.Process.Pid))
	}
	location, err := Locate(w.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return w, location
}

// say waits until the worker has come to its next halt and lets it go on when line is not "".
func (w *worker) say(t testing.TB, line string) string {
	t.Helper()
	if line != "" {
		if _, err := fmt.Fprintln(w.stdin, line); err != nil {
			t.Fatal(err)
		}
	}
	answer, err := w.stdout.ReadString('\n')
	if err != nil {
		t.Fatalf("the worker says nothing: %v", err)
	}
	return answer
}

// makeGroups makes a group in each hierarchy of this machine, v1's and the unified one.
func makeGroups(t testing.TB) []string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	found, err := parseHierarchies(mounts)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	var directories []string
	for _, controller := range []string{"", "cpu", "cpuacct", "memory", "blkio", "pids"} {
		where, ok := found[controller]
		if !ok || seen[where.mountPoint] {
			continue
		}
		seen[where.mountPoint] = true
		if controller == "" {
			enable(t, where.mountPoint)
		}
		directory, err := os.MkdirTemp(where.mountPoint, "usage-test-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { removeGroup(t, directory) })
		directories = append(directories, directory)
	}
	return directories
}

// enable turns on what controllers the unified hierarchy has.
func enable(t testing.TB, top string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(top, "cgroup.controllers"))
	if err != nil {
		t.Fatal(err)
	}
	for controller := range strings.FieldsSeq(string(data)) {
		if strings.Contains("cpu memory io pids", controller) {
			writeFile(t, filepath.Join(top, "cgroup.subtree_control"), "+"+controller)
		}
	}
}

// removeGroup removes a group. The kernel tells of a process that has gone from it
// by no event that v1 has, so that it is tried until a deadline.
func removeGroup(t testing.TB, directory string) {
	deadline := time.Now().Add(time.Minute)
	for {
		err := os.Remove(directory)
		if err == nil || errors.Is(err, os.ErrNotExist) {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("remove the group: %v", err)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const (
	megabyte      = 1 << 20
	cpuToUse      = 500 * time.Millisecond
	memoryToUse   = 64 * megabyte
	bytesToStore  = 16 * megabyte
	memoryAllowed = 128 * megabyte
)

// doWork is what a worker does. It halts for a line before its work and after it.
func doWork(work string) error {
	lines := bufio.NewScanner(os.Stdin)
	halt := func(say any) bool {
		text, err := json.Marshal(say)
		if err != nil {
			return false
		}
		fmt.Println(string(text))
		return lines.Scan()
	}
	halt("ready")
	var kept []byte
	var err error
	before := cpuTime()
	switch work {
	case "cpu":
		for cpuTime() < before+cpuToUse {
		}
	case "memory":
		kept, err = touch(memoryToUse)
	case "disk":
		err = store(os.Getenv("USAGE_TEST_DISK"))
	case "too much memory":
		kept, err = touch(2 * memoryAllowed)
	case "child with too much memory":
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "USAGE_TEST_WORK=too much memory")
		child.Stdin = strings.NewReader("go\n")
		_ = child.Run() // It is killed, which is the point.
	}
	if err != nil {
		return err
	}
	halt(own{CPU: cpuTime() - before})
	if len(kept) > 0 && kept[len(kept)-1] != 1 {
		return errors.New("the memory was not kept")
	}
	return nil
}

func cpuTime() time.Duration {
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		panic(err)
	}
	return time.Duration(self.Utime.Nano() + self.Stime.Nano())
}

// touch takes memory that is not Go's, which the race detector would keep a shadow of.
func touch(size int) ([]byte, error) {
	memory, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	for i := range memory {
		memory[i] = 1
	}
	return memory, err
}

// store writes a file to the disk and reads it from there.
func store(directory string) error {
	file, err := os.CreateTemp(directory, "usage-test-")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if _, err := file.Write(make([]byte, bytesToStore)); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	const dontNeed = 4 // posix_fadvise(2), POSIX_FADV_DONTNEED
	if _, _, errno := syscall.Syscall6(syscall.SYS_FADVISE64, file.Fd(), 0, 0, dontNeed, 0, 0); errno != 0 {
		return errno
	}
	_, err = io.Copy(io.Discard, io.NewSectionReader(file, 0, bytesToStore))
	return err
}
