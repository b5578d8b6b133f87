package security

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"midge/test/realserver"
)

// refused begins every script: it says what should have failed and has not. A command
// that is not there is no attack.
const refused = `
refused() {
  command -v "$1" >/dev/null || { echo "NO ATTACK: there is no $1"; exit 1; }
  if "$@" >/dev/null 2>&1; then echo "ESCAPED: $*"; exit 1; fi
}
rewritten() { if [ -e "$1" ] && sh -c "cat '$1' >'$1'" 2>/dev/null; then echo "ESCAPED: wrote $1"; exit 1; fi; }
`

// attacks are scripts that a hostile task runs as root of its container, and which
// end well when they have achieved nothing.
var attacks = map[string]string{
	"devices": `
refused mknod /tmp/memory c 1 1
refused mknod /tmp/disk b 8 0
refused head -c 1 /dev/mem
refused head -c 1 /dev/kmsg
test -z "$(find /dev -type b)" || { echo "ESCAPED: a disk"; exit 1; }`,

	"proc": `
rewritten /proc/sys/kernel/core_pattern
rewritten /proc/sys/kernel/modprobe
rewritten /proc/sys/vm/overcommit_memory
refused sh -c 'echo h >/proc/sysrq-trigger'
refused head -c 1 /proc/kcore
refused ls /proc/1/root/proc/1/root/etc/shadow
test "$(readlink /proc/self/ns/user)" != "$HOST_USER_NAMESPACE" || { echo "ESCAPED: no user namespace"; exit 1; }
test "$(readlink /proc/self/ns/pid)" != "$HOST_PID_NAMESPACE" || { echo "ESCAPED: no pid namespace"; exit 1; }
grep -q '^Seccomp:.2' /proc/self/status || { echo "ESCAPED: no seccomp"; exit 1; }`,

	"sys": `
refused touch /sys/evil
rewritten /sys/kernel/mm/transparent_hugepage/enabled
rewritten /sys/module/printk/parameters/time
for file in /sys/block/*/queue/scheduler; do rewritten $file; done`,

	"capabilities": `
bounding=$((0x$(awk '/^CapBnd/ {print $2}' /proc/self/status)))
for capability in 2 12 16 17 19 21 22 25 34 35; do # of which sys_admin is 21
  test $((bounding >> capability & 1)) = 0 || { echo "ESCAPED: capability $capability"; exit 1; }
done
refused chroot /proc/1/root/.. ls
refused dmesg
refused hostname evil
refused date -s 2000-01-01`,

	"cgroup release agent": `
refused mkdir /sys/fs/cgroup/evil
refused mkdir /sys/fs/cgroup/memory/evil
refused mount -t cgroup -o memory none /mnt
refused mount -t cgroup2 none /mnt
refused unshare -UrmC sh -c 'mount -t cgroup -o rdma none /mnt && echo /evil >/mnt/release_agent'
for file in $(find / -path /proc -prune -o \( -name release_agent -o -name notify_on_release -o -name cgroup.procs \) -print 2>/dev/null); do
  rewritten $file
done`,

	"mounts": `
refused mount -t tmpfs none /mnt
refused mount --bind /etc /mnt
refused mount -o remount,rw /sys
refused mount -o remount,rw /proc/sys
refused umount /proc/kcore
refused umount -l /sys
refused pivot_root / /mnt
refused nsenter -t 1 -m true
unshare -Urm sh -c "mount -t tmpfs $MARK /mnt" 2>/dev/null
unshare -Urm --propagation shared sh -c "mount -t tmpfs $MARK /mnt" 2>/dev/null
true`,

	"descriptors": `
for process in $$ 1; do
  for descriptor in /proc/$process/fd/*; do
    to=$(readlink $descriptor) || continue
    case $to in
    pipe:*|/dev/null|/dev/pts/*) ;;
    anon_inode:*|socket:*) test $process = 1 || { echo "ESCAPED: $descriptor is $to"; exit 1; } ;;
    *) echo "ESCAPED: $descriptor is $to"; exit 1 ;;
    esac
  done
done
refused cat /proc/1/environ
refused sh -c 'exec 3</proc/1/mem'
refused readlink /proc/1/fd/0`,

	"sockets": `
for path in $SOCKET $DATA /run/midge /var/lib/midge; do
  test ! -e $path || { echo "ESCAPED: $path is in sight"; exit 1; }
done
test -z "$(find / -path /proc -prune -o -type s -print 2>/dev/null)" || { echo "ESCAPED: a socket"; exit 1; }
refused grep -q '@.*midge' /proc/net/unix
exit 0`,

	"other containers": `
refused kill -0 $VICTIM
refused cat /proc/$VICTIM/environ
refused grep -qs "$MARK" $(ls -d /proc/[0-9]*/cmdline | grep -v "/$$/")
# ptrace(PTRACE_ATTACH, ...), which can be had of a process of one's own.
attach() { perl -e 'exit(syscall(101, 16, $ARGV[0] + 0, 0, 0) == 0 ? 0 : 1)' $1; }
sleep 100 & own=$!
attach $own || { echo "NO ATTACK: ptrace of a process of its own"; exit 1; }
kill -9 $own
refused attach $VICTIM
refused attach 1
exit 0`,
}

func TestTasksDoNotEscape(t *testing.T) {
	s := start(t)
	mark := "midge-attack-" + filepath.Base(s.Dir)
	victim := startVictim(t, s, mark)
	before, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	params := fmt.Sprintf("params: {SOCKET: %q, DATA: %q, VICTIM: \"%d\", MARK: %q, HOST_USER_NAMESPACE: %q, HOST_PID_NAMESPACE: %q}\n",
		s.Path("midge.sock"), s.DataDir, victim, mark, namespace(t, "user"), namespace(t, "pid"))
	for name, script := range attacks {
		t.Run(name, func(t *testing.T) {
			task := s.Script("attack", refused+script, params)
			realserver.Run(t, s.Command(t.Context(), "--team", "red", "execute", "-c", task)).Want(t, 0)
		})
	}
	// Who goes into a container has no more than the task there.
	held := s.Script("held", "exit 1", params)
	s.Midge("--team", "red", "execute", "-c", held).Want(t, 1)
	for name, script := range attacks {
		t.Run("hijacked "+name, func(t *testing.T) {
			s.Midge("--team", "red", "hijack", "-s", "one-off", "--", "sh", "-c", refused+script).Want(t, 0)
		})
	}
	after, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(after), mark) {
		t.Errorf("a task has mounted something on the machine; before there was\n%s\nand now\n%s", before, after)
	}
}

func namespace(t *testing.T, kind string) string {
	t.Helper()
	link, err := os.Readlink("/proc/self/ns/" + kind)
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// startVictim runs a build of the team blue that goes on, and gives the machine's
// number of its process.
func startVictim(t *testing.T, s *realserver.Server, mark string) int {
	t.Helper()
	task := s.Script("victim", "exec sh -c 'echo ready; sleep 100000' "+mark, "")
	cmd := s.Command(t.Context(), "--team", "blue", "execute", "-c", task)
	var printed realserver.Output
	cmd.Stdout = &printed
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	realserver.Eventually(t, "the victim runs", func() error {
		if !strings.Contains(printed.String(), "ready") {
			return fmt.Errorf("it has said %q", printed.String())
		}
		return nil
	})
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		command, err := os.ReadFile(file)
		if err == nil && strings.HasSuffix(string(command), "\x00"+mark+"\x00") {
			pid, err := strconv.Atoi(strings.Split(file, "/")[2])
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatal("the victim's process is not found")
	return 0
}

// What a task leaves in its output is not followed by the server, nor by what comes after.
func TestOutputsDoNotLeadOutside(t *testing.T) {
	s := start(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("the machine's secret\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	task := s.Script("task", refused+`
ln -s $SECRET out/absolute
ln -s ../../../../../../../../../../../..$SECRET out/relative
mkdir out/deep && ln -s / out/deep/root
refused ln /etc/hostname out/hard
refused rmdir out
refused mv out elsewhere
exit 0`, fmt.Sprintf("outputs: [{name: out}]\nparams: {SECRET: %q}\n", secret))
	s.Midge("execute", "-c", task, "-o", "out="+s.Path("home/out")).Want(t, 0)
	for _, file := range []string{"absolute", "relative", "deep/root" + secret, "deep/root/../.." + secret} {
		r := s.Midge("artifacts", "cat", "1", file)
		if r.Status == 0 || strings.Contains(r.Stdout, "secret") {
			t.Errorf("the server follows %s: %+v", file, r)
		}
	}
	// At home a link is a link.
	if target, err := os.Readlink(s.Path("home/out/absolute")); err != nil || target != secret {
		t.Errorf("the link came home as %q (%v)", target, err)
	}
	// As an input it leads nowhere but inside.
	next := s.Script("next", refused+"refused cat in/absolute\nrefused cat in/relative\nrefused cat in/deep/root$SECRET\n",
		fmt.Sprintf("inputs: [{name: in}]\nparams: {SECRET: %q}\n", secret))
	s.Midge("execute", "-c", next, "-i", "in="+s.Path("home/out")).Want(t, 0)
	// One that is there already is not written through.
	over := s.Script("over", "echo overwritten >out/absolute", "outputs: [{name: out}]\n")
	s.Midge("execute", "-c", over, "-o", "out="+s.Path("home/out")).Want(t, 0)
	if text, err := os.ReadFile(secret); err != nil || string(text) != "the machine's secret\n" {
		t.Errorf("an output was written through a link: %q (%v)", text, err)
	}
}

// What is no file has no place in an output, and the error says which it is.
func TestSpecialFilesInOutputs(t *testing.T) {
	s := start(t)
	task := s.Script("task", "mkfifo out/special", "outputs: [{name: out}]\n")
	s.Midge("execute", "-c", task, "-o", "out="+s.Path("out")).Want(t, 2, "named pipe")
}

// Names in a task file are no paths out of the container, whatever they are.
func TestNamesInTasks(t *testing.T) {
	s := start(t)
	for name, rest := range map[string]string{
		"output":        "outputs: [{name: out, path: ../../../../../../evil}]\n",
		"output name":   "outputs: [{name: ../../evil}]\n",
		"input":         "inputs: [{name: in, path: ../../../evil, optional: true}]\n",
		"cache":         "caches: [{path: ../../../../evil}]\n",
		"rootfs":        "rootfs_uri: raw:///\n",
		"rootfs by dot": "rootfs_uri: raw://" + s.Dir + "/../..\n",
		"rootfs scheme": "rootfs_uri: file:///\n",
	} {
		t.Run(name, func(t *testing.T) {
			task := s.Script("task", "ls -la /evil ../../evil; true", rest)
			r := s.Midge("execute", "-c", task)
			if strings.HasPrefix(name, "rootfs") {
				r.Want(t, 2, "rootfs_uri")
			}
			for _, path := range []string{"/evil", filepath.Join(s.DataDir, "evil"), filepath.Join(s.DataDir, "workers/evil"), filepath.Join(filepath.Dir(s.Dir), "evil")} {
				if _, err := os.Lstat(path); err == nil {
					t.Errorf("%s was made on the machine", path)
				}
			}
		})
	}
	text := "platform: linux\nrun: {path: sh, args: [-c, 'exit 0'], dir: ../../../../..}\n"
	s.Midge("execute", "-c", s.Write("dir.yml", text))
	s.Midge("execute", "-c", s.Script("privileged", "true", ""), "--privileged").Want(t, 2, "privileged")
}
