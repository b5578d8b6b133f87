package dist

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// unifiedCgroups are where the hierarchy of version 2 may be, which systemd is given.
var unifiedCgroups = []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup"}

// A debian is a Debian that runs on this machine with systemd as its init, and has
// processes, mounts, a network, a host name and control groups of its own. It cannot
// change settings of this machine's kernel, and is gone when the test ends.
//
// Its control groups are of version 2, and have those controllers alone that this
// machine does not use in version 1.
type debian struct {
	root   string // where its files are
	cgroup string
	init   string // process number of its init
}

// bootScript goes to the root that it is given, as the first process of new namespaces,
// and becomes systemd there.
const bootScript = `set -e
cd "$0"
mount --bind . .
cd "$0"
mount -t proc proc proc
# A user namespace in here may mount it only if there is one with nothing hidden.
mkdir whole
mount -t proc proc whole
mount --bind proc/sys proc/sys
mount --bind proc/sys/net proc/sys/net
mount -o remount,bind,ro proc/sys
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup sys/fs/cgroup
mount -t tmpfs -o mode=755 dev dev
for name in null zero full random urandom tty; do
	: >dev/$name
	mount --bind /dev/$name dev/$name
done
mkdir dev/pts dev/shm old
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr
mount -t tmpfs shm dev/shm
mount -t tmpfs -o mode=755 run run
hostname debian
pivot_root . old
umount -l old
rmdir old
exec env -i container=other NOTIFY_SOCKET=/booted /lib/systemd/systemd --unit=multi-user.target --show-status=no`

// masked are units that would change this machine, or that nobody waits for.
var masked = []string{"systemd-sysctl.service", "systemd-modules-load.service", "systemd-binfmt.service", "proc-sys-fs-binfmt_misc.automount",
	"systemd-random-seed.service", "systemd-update-utmp.service", "systemd-update-utmp-runlevel.service", "getty@.service",
	"console-getty.service", "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-kernel-config.mount",
	"sys-fs-fuse-connections.mount", "dev-hugepages.mount", "dev-mqueue.mount"}

// bootDebian starts a Debian that has those packages, which this machine has too.
func bootDebian(t *testing.T, packages ...string) *debian {
	t.Helper()
	// The path of a socket in it must be short.
	root, err := os.MkdirTemp("", "debian")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "./debian.sh", append([]string{root}, packages...)...)
	for _, unit := range masked {
		if err := os.Symlink("/dev/null", filepath.Join(root, "etc/systemd/system", unit)); err != nil {
			t.Fatal(err)
		}
	}
	d := &debian{root: root, cgroup: makeCgroup(t)}
	d.boot(t)
	return d
}

// boot starts systemd, and waits until that has started what there is.
func (d *debian) boot(t *testing.T) {
	t.Helper()
	booted, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(d.root, "booted"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer booted.Close()
	cgroup, err := os.Open(d.cgroup)
	if err != nil {
		t.Fatal(err)
	}
	defer cgroup.Close()
	said, err := os.Create(filepath.Join(d.root, "said"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	unshare := exec.Command("unshare", "--cgroup", "--mount", "--propagation", "private", "--pid", "--fork", "--net", "--uts", "--ipc",
		"sh", "-c", bootScript, d.root)
	unshare.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(cgroup.Fd())}
	unshare.Stdout, unshare.Stderr = said, said
	if err := unshare.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		killCgroup(t, d.cgroup)
		unshare.Wait()
	})
	if err := booted.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	for state := make([]byte, 4096); ; {
		n, err := booted.Read(state)
		if err != nil {
			output, _ := os.ReadFile(said.Name())
			t.Fatalf("the Debian does not boot: %v\n%s", err, output)
		}
		if strings.Contains(string(state[:n]), "READY=1") {
			break
		}
	}
	processes, err := os.ReadFile(filepath.Join(d.cgroup, "init.scope/cgroup.procs"))
	if err != nil {
		t.Fatal(err)
	}
	d.init, _, _ = strings.Cut(string(processes), "\n")
}

// command is a command of root in the Debian.
func (d *debian) command(name string, args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--target", d.init, "--all", "--", "env", "-i", "HOME=/root", "TERM=dumb",
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", name}, args...)...)
}

// run runs a command there that must succeed, and gives what it prints to stdout,
// without the last line's end.
func (d *debian) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	stdout, _ := d.exits(t, 0, name, args...)
	return stdout
}

// exits runs a command there that must end with that status, and gives what it prints.
func (d *debian) exits(t *testing.T, status int, name string, args ...string) (stdout, stderr string) {
	t.Helper()
	return exits(t, status, d.command(name, args...))
}

func exits(t *testing.T, status int, command *exec.Cmd) (stdout, stderr string) {
	t.Helper()
	var out, said strings.Builder
	command.Stdout, command.Stderr = &out, &said
	err := command.Run()
	if command.ProcessState == nil || command.ProcessState.ExitCode() != status {
		t.Fatalf("%s ends with %v, want status %d:\n%s%s", strings.Join(command.Args, " "), err, status, out.String(), said.String())
	}
	return strings.TrimSuffix(out.String(), "\n"), said.String()
}

// until waits for what nobody tells.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not come that %s", what)
		}
	}
}

// makeCgroup makes a control group of version 2, which is removed when the test ends.
func makeCgroup(t *testing.T) string {
	t.Helper()
	for _, top := range unifiedCgroups {
		var stat unix.Statfs_t
		if err := unix.Statfs(top, &stat); err != nil || stat.Type != unix.CGROUP2_SUPER_MAGIC {
			continue
		}
		dir, err := os.MkdirTemp(top, "debian")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { removeCgroup(t, dir) })
		return dir
	}
	t.Fatal("the machine has no control groups of version 2")
	return ""
}

// killCgroup ends the processes of a control group, and of those in it.
func killCgroup(t *testing.T, dir string) {
	if err := os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0); err != nil {
		t.Error(err)
		return
	}
	until(t, "the Debian's processes have ended", func() bool {
		events, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
		return err == nil && strings.Contains(string(events), "populated 0\n")
	})
}

// removeCgroup removes a control group and those in it.
func removeCgroup(t *testing.T, dir string) {
	var dirs []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	for _, dir := range slices.Backward(dirs) {
		err = errors.Join(err, os.Remove(dir))
	}
	if err != nil {
		t.Error(err)
	}
}
