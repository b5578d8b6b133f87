package endtoend

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// An output comes home as it was left, and what is there already stays as it is.
func TestOutputsByContent(t *testing.T) {
	s := startServer(t)
	task := s.script("task", `
cd out
mkdir -p deep/empty
echo one > deep/one; chmod 751 deep/one
ln -s deep/one link
ln deep/one hard
touch -d 2001-02-03T04:05:06Z deep/one`, "outputs: [{name: out}]\n")
	s.write(map[string]string{"out/own": "only here\n"})
	s.midge("execute", "-c", task, "-o", "out=out").want(t, 0, "out: 3 files", "into")
	s.wantFile("out/own", "only here\n")
	one, err := os.Lstat(s.path("out/deep/one"))
	if err != nil {
		t.Fatal(err)
	}
	if one.Mode() != 0o751 || one.ModTime().Unix() != 981173106 {
		t.Errorf("the file came home as %v of %v", one.Mode(), one.ModTime())
	}
	if hard, err := os.Lstat(s.path("out/hard")); err != nil || !os.SameFile(one, hard) {
		t.Errorf("the hard link is none: %v", err)
	}
	if target, err := os.Readlink(s.path("out/link")); err != nil || target != "deep/one" {
		t.Errorf("the link leads to %q, %v", target, err)
	}
	if info, err := os.Stat(s.path("out/deep/empty")); err != nil || !info.IsDir() {
		t.Errorf("the empty directory: %v", err)
	}
	s.midge("execute", "-c", task, "-o", "out=out", "--delete").want(t, 0, "nothing received", "1 deleted")
	if _, err := os.Lstat(s.path("out/own")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("--delete left what the output does not have: %v", err)
	}
}

// What changed is sent, and no more.
func TestInputsByContent(t *testing.T) {
	s := startServer(t)
	big := randomBytes(64 << 20)
	s.write(map[string]string{
		"src/a": "a", "src/b": "b", "src/.midgeignore": "*.tmp\n", "src/x.tmp": "ignored",
		"src/big": string(big),
	})
	task := s.script("task", "cat src/a src/b; cksum < src/big", "inputs: [{name: src}]\n")
	s.midge("execute", "-c", task, "-i", "src=src").want(t, 0, "src: 4 files, 67 MB · 4 files changed, 67 MB sent", "1 ignored by .midgeignore")
	s.midge("execute", "-c", task, "-i", "src=src").want(t, 0, "src: 4 files, 67 MB · nothing sent")

	copy(big[len(big)/2:], randomBytes(1000))
	s.write(map[string]string{"src/a": "changed", "src/big": string(big)})
	receipt := s.push("src")
	if receipt.SentFiles != 2 || receipt.SentBytes > 8<<20 {
		t.Errorf("of a small change, sent were %+v", receipt)
	}
	checked := exec.Command("cksum")
	checked.Stdin = bytes.NewReader(big)
	sum, err := checked.Output()
	if err != nil {
		t.Fatal(err)
	}
	s.midge("execute", "-c", task, "-i", "src=src", "--quiet").want(t, 0, "changedb"+string(sum))
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

// receipt is what of push's answer the tests look at.
type receipt struct {
	SentFiles      int64 `json:"sent_files"`
	SentBytes      int64 `json:"sent_bytes"`
	SentCompressed int64 `json:"sent_compressed"`
}

// push makes an artifact of a directory below the server's.
func (s *server) push(dir string) receipt {
	s.t.Helper()
	r := s.midge("artifacts", "push", dir, "--json")
	r.want(s.t, 0)
	var answer struct{ Receipt receipt }
	if err := json.Unmarshal([]byte(r.stdout), &answer); err != nil {
		s.t.Fatalf("push answers %q: %v", r.stdout, err)
	}
	return answer.Receipt
}

func TestHardNames(t *testing.T) {
	s := startServer(t)
	long := strings.Repeat("n", 255)
	names := []string{"with\nnewline", "invalid\xff\xfeutf8", long, "Case", "case", " ", "-rf", `back\slash`, "*"}
	for _, name := range names {
		s.write(map[string]string{filepath.Join("src", "dir", name): name})
	}
	if err := os.Symlink("loop", s.path("src/loop")); err != nil {
		t.Fatal(err)
	}
	task := s.script("task", "cp -a src/. out/", "inputs: [{name: src}]\noutputs: [{name: out}]\n")
	s.midge("execute", "-c", task, "-i", "src=src", "-o", "out=out").want(t, 0)
	for _, name := range names {
		s.wantFile(filepath.Join("out", "dir", name), name)
	}
	if target, err := os.Readlink(s.path("out/loop")); err != nil || target != "loop" {
		t.Errorf("the symlink loop came home as %q, %v", target, err)
	}
}

// A path may be longer than the 4096 bytes that a system call takes, there and back.
func TestDeepTree(t *testing.T) {
	s := startServer(t)
	const name, depth = "a directory with a name of some length that is one of very many", 80
	descend := func(top string, create bool) *os.Root {
		root, err := os.OpenRoot(s.path(top))
		for range depth {
			if err != nil {
				t.Fatal(err)
			}
			if create {
				if err := root.Mkdir(name, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			above := root
			root, err = above.OpenRoot(name)
			above.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return root
	}
	s.write(map[string]string{"src/top": "top"})
	bottom := descend("src", true)
	defer bottom.Close()
	if err := bottom.WriteFile("file", []byte("from the bottom"), 0o644); err != nil {
		t.Fatal(err)
	}
	task := s.script("task", fmt.Sprintf(`
find src -name file -execdir cat {} +
cd out
for i in $(seq %d); do mkdir "%s"; cd -P "%[2]s"; done
echo back >file`, depth, name), "inputs: [{name: src}]\noutputs: [{name: out}]\n")
	s.midge("execute", "-c", task, "-i", "src=src", "-o", "out=out").want(t, 0, "from the bottom")
	returned := descend("out", false)
	defer returned.Close()
	if content, err := returned.ReadFile("file"); err != nil || string(content) != "back\n" {
		t.Errorf("at the bottom of the output is %q, %v", content, err)
	}
}

// Each thing that cannot be sent is named, and nothing of it is to be seen.
func TestBadTrees(t *testing.T) {
	s := startServer(t)
	tests := []struct {
		name  string
		make  func(dir string) error
		words []string
	}{
		{"fifo", func(dir string) error { return syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600) }, []string{"pipe", "named pipe"}},
		{"device", func(dir string) error {
			return syscall.Mknod(filepath.Join(dir, "null"), syscall.S_IFCHR|0o600, 1<<8|3)
		}, []string{"null", "device"}},
		{"socket", func(dir string) error {
			listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "sock")})
			if err != nil {
				return err
			}
			listener.SetUnlinkOnClose(false)
			return listener.Close()
		}, []string{"sock", "socket"}},
		{"broken repository", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, ".git"), []byte("gitdir: /nonexistent\n"), 0o644)
		}, []string{"git", "--include-ignored"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			name := strings.ReplaceAll(test.name, " ", "-")
			s.write(map[string]string{name + "/file": "x"})
			if err := test.make(s.path(name)); err != nil {
				t.Fatal(err)
			}
			s.midge("artifacts", "push", name).wantError(t, 1, test.words...)
		})
	}
	if r := s.midge("artifacts", "ls"); r.stdout != "" {
		t.Errorf("there are artifacts:\n%s", r.stdout)
	}
}

// A file that is written all the time is named, or seen whole: never half.
func TestFileThatChanges(t *testing.T) {
	s := startServer(t)
	const length = 1 << 20
	s.write(map[string]string{"src/busy": strings.Repeat("0", length)})
	file, err := os.OpenFile(s.path("src/busy"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var stop atomic.Bool
	done := make(chan error, 1)
	go func() {
		for i := 0; !stop.Load(); i++ {
			if _, err := file.WriteAt(bytes.Repeat([]byte{byte('a' + i%26)}, length), 0); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	r := s.midge("artifacts", "push", "src")
	stop.Store(true)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if r.status != 0 {
		r.wantError(t, 1, "busy", "changes while it is read")
	}
	r = s.midge("artifacts", "push", "src")
	r.want(t, 0)
	want, err := os.ReadFile(s.path("src/busy"))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.midge("artifacts", "cat", strings.TrimSpace(r.stdout), "busy"); got.stdout != string(want) {
		t.Errorf("what was sent in quiet is not the file")
	}
}

// Two uploads of the same tree at once end well, and as one tree.
func TestTwoUploadsAtOnce(t *testing.T) {
	s := startServer(t)
	for i := range 200 {
		s.write(map[string]string{fmt.Sprintf("src/%d/file", i): strings.Repeat(fmt.Sprint(i), 10_000)})
	}
	results := make(chan result, 2)
	for range 2 {
		cmd := s.command("artifacts", "push", "src")
		go func() { results <- runCommand(t, cmd) }()
	}
	for range 2 {
		r := <-results
		r.want(t, 0)
		s.midge("artifacts", "pull", strings.TrimSpace(r.stdout), "pulled", "--delete").want(t, 0)
		if out, err := exec.Command("diff", "-r", s.path("src"), s.path("pulled")).CombinedOutput(); err != nil {
			t.Errorf("the tree came home as another: %v\n%s", err, out)
		}
	}
}

// Of an upload that was killed half way, nothing that arrived is sent again.
func TestUploadIsKilled(t *testing.T) {
	s := startServer(t)
	const files, length = 24, 4 << 20
	for i := range files {
		b := make([]byte, length)
		rand.NewChaCha8([32]byte{byte(i)}).Read(b)
		s.write(map[string]string{fmt.Sprintf("src/%d", i): string(b)})
	}
	cmd := s.command("artifacts", "push", "src")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "half of it has arrived", func() error {
		if size := sizeOf(t, s.path("data/artifacts")); size < files*length/2 {
			return fmt.Errorf("%d bytes are there", size)
		}
		return nil
	})
	cmd.Process.Kill()
	cmd.Wait()
	if cmd.ProcessState.Success() {
		t.Fatal("the upload ended before it was killed")
	}
	if r := s.midge("artifacts", "ls"); r.stdout != "" {
		t.Errorf("half an upload is to be seen:\n%s", r.stdout)
	}
	if again := s.push("src"); again.SentBytes > files*length*3/4 {
		t.Errorf("sent again were %d of %d bytes", again.SentBytes, files*length)
	}
}

// sizeOf adds up the lengths of all files below a directory.
func sizeOf(t *testing.T, dir string) (size int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		// Files come and go while the server works.
		if err != nil || entry.IsDir() {
			return nil
		}
		if info, err := entry.Info(); err == nil {
			size += info.Size()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return size
}

// What is larger than the server takes is refused in a sentence, on both ways.
func TestMaxArtifactSize(t *testing.T) {
	s := startServer(t, "--max-artifact-size", "1MB")
	s.write(map[string]string{"src/large": strings.Repeat("x", 2_000_000), "small/file": "x"})
	s.midge("artifacts", "push", "src").wantError(t, 1, "2000000 bytes", "at most")
	task := s.script("task", "head -c 2000000 /dev/zero > out/large", "inputs: [{name: src}]\noutputs: [{name: out}]\n")
	s.midge("execute", "-c", task, "-i", "src=src").wantError(t, 1, `the input "src" cannot be sent`, "at most")
	s.midge("execute", "-c", task, "-i", "src=small").want(t, 2, "2000000 bytes", "at most")
}

// On a full disk an output leaves nothing half-written, and is there once there is room.
func TestFullDisk(t *testing.T) {
	s := startServer(t)
	task := s.script("task", "head -c 8388608 /dev/urandom > out/big; echo new > out/small", "outputs: [{name: out}]\n")
	s.midge("execute", "-c", task).want(t, 0)
	listed := s.midge("artifacts", "ls", "--build", "1", "--json")
	var artifacts []struct{ ID int }
	if err := json.Unmarshal([]byte(listed.stdout), &artifacts); err != nil || len(artifacts) != 1 {
		t.Fatalf("artifacts ls answers %q, %v", listed.stdout, err)
	}
	full := t.TempDir()
	if err := syscall.Mount("tmpfs", full, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatal(err)
	}
	defer syscall.Unmount(full, syscall.MNT_DETACH)
	if err := os.WriteFile(filepath.Join(full, "small"), []byte("old\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	id := fmt.Sprint(artifacts[0].ID)
	s.midge("artifacts", "pull", id, full).wantError(t, 1, "no space left")
	if _, err := os.Lstat(filepath.Join(full, "big")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file is there that did not fit: %v", err)
	}
	if got, err := os.ReadFile(filepath.Join(full, "small")); err != nil || string(got) != "old\n" {
		t.Errorf("a file was changed before all had come: %q, %v", got, err)
	}
	if err := syscall.Mount("", full, "", syscall.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	s.midge("artifacts", "pull", id, full).want(t, 0)
	if info, err := os.Stat(filepath.Join(full, "big")); err != nil || info.Size() != 8<<20 {
		t.Errorf("the file that fits now: %v", err)
	}
}
