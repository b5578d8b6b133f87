package dist

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// target is the server's socket in a Debian.
const target = "unix:///run/midge/midge.sock"

// TestService goes through what an operator does with the Debian package, and what
// happens to its service, under a real systemd.
func TestService(t *testing.T) {
	d := bootDebian(t, "runc", "containernetworking-plugins", "nftables", "iproute2")
	makePackages(t, d)
	for _, step := range []struct {
		name string
		take func(*testing.T, *debian)
	}{
		{"install", installPackage},
		{"ready when it has started", dependOnService},
		{"a member of the group", executeAndHijack},
		{"capabilities", readCapabilities},
		{"restart", restartService},
		{"killed", killServer},
		{"upgrade", upgradePackage},
		{"stop", stopService},
		{"by hand", serveByHand},
		{"a mistake in the settings", misconfigure},
		{"disabled", disableService},
		{"remove and install again", removePackage},
		{"purge", purgePackage},
	} {
		// Each begins where the one before it has ended.
		if !t.Run(step.name, func(t *testing.T) { step.take(t, d) }) {
			journal, _ := d.command("journalctl", "--no-pager", "-n", "100").CombinedOutput()
			t.Fatalf("the journal:\n%s", journal)
		}
	}
}

// makePackages puts two versions of the package into the Debian, /old.deb and /new.deb,
// with the same programs.
func makePackages(t *testing.T, d *debian) {
	t.Helper()
	tree := filepath.Join(t.TempDir(), "tree")
	run(t, "dpkg-deb", "--raw-extract", filepath.Join(distribution(t), packageName), tree)
	control := filepath.Join(tree, "DEBIAN/control")
	content, err := os.ReadFile(control)
	if err != nil {
		t.Fatal(err)
	}
	number := regexp.MustCompile(`(?m)^Version: .*$`)
	for name, is := range map[string]string{"old.deb": "1.0", "new.deb": "2.0"} {
		if err := os.WriteFile(control, number.ReplaceAll(content, []byte("Version: "+is)), 0o644); err != nil {
			t.Fatal(err)
		}
		run(t, "dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, filepath.Join(d.root, name))
	}
}

// property gives a property of the service.
func property(t *testing.T, d *debian, name string) string {
	t.Helper()
	return d.run(t, "systemctl", "show", "--value", "--property", name, "midge.service")
}

// wantService checks whether the service runs, and whether it starts with the machine.
func wantService(t *testing.T, d *debian, active, file string) {
	t.Helper()
	if got := property(t, d, "ActiveState"); got != active {
		t.Errorf("the service is %s, want %s", got, active)
	}
	if got := property(t, d, "UnitFileState"); got != file {
		t.Errorf("the service is %s, want %s", got, file)
	}
}

// ann runs a script as the user of that name, in her directory.
func ann(t *testing.T, d *debian, script string) string {
	t.Helper()
	return annExits(t, d, 0, script)
}

func annExits(t *testing.T, d *debian, status int, script string) (stdout string) {
	t.Helper()
	stdout, _ = exits(t, status, annCommand(d, script))
	return stdout
}

func annCommand(d *debian, script string) *exec.Cmd {
	return d.command("runuser", "-u", "ann", "--", "env", "HOME=/home/ann", "MIDGE_TARGET="+target, "sh", "-c", "cd /home/ann/work && "+script)
}

func installPackage(t *testing.T, d *debian) {
	d.run(t, "dpkg", "--install", "/old.deb")
	wantService(t, d, "active", "enabled")
	status := d.run(t, "systemctl", "status", "--no-pager", "--full", "midge")
	for _, want := range []string{"Active: active (running)", `Status: "Serving http://127.0.0.1:8080"`, "msg=serving"} {
		if !strings.Contains(status, want) {
			t.Errorf("systemctl status lacks %q:\n%s", want, status)
		}
	}
	d.run(t, "useradd", "--create-home", "--shell", "/bin/sh", "--groups", "midge", "ann")
	d.run(t, "useradd", "--create-home", "--shell", "/bin/sh", "bob")
	work := filepath.Join(d.root, "home/ann/work")
	if err := os.Mkdir(work, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"task.yml": waitingTask, "hello.yml": helloTask} {
		if err := os.WriteFile(filepath.Join(work, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// waitingTask counts until a file is there, and ends with status 7; helloTask says hello.
const (
	waitingTask = `platform: linux
inputs: [{name: work}]
run: {path: sh, args: [-c, "i=0; touch /tmp/here; until [ -e /tmp/go ]; do echo line $i; i=$((i+1)); sleep 0.1; done; exit 7"]}
`
	helloTask = `platform: linux
run: {path: echo, args: [hello]}
`
)

// startTask has ann start the task that waits, and gives its build's id once it runs.
func startTask(t *testing.T, d *debian) (id string) {
	t.Helper()
	out := ann(t, d, "midge execute -c task.yml -b")
	if _, err := strconv.Atoi(out); err != nil {
		t.Fatalf("the id of the build is %q", out)
	}
	until(t, "the task runs", func() bool {
		return annCommand(d, "midge hijack -b "+out+" -- test -e /tmp/here").Run() == nil
	})
	return out
}

// finishTask checks that the task of startTask still runs in its container, lets it end,
// and checks that its log has every line once, and that its status has not been lost.
func finishTask(t *testing.T, d *debian, id string) {
	t.Helper()
	ann(t, d, "midge hijack -b "+id+" -- touch /tmp/go")
	log := annExits(t, d, 7, "midge watch -b "+id+"")
	for i, line := range strings.Split(log, "\n") {
		if want := fmt.Sprintf("line %d", i); line != want {
			t.Errorf("where the log should have %q it has %q:\n%s", want, line, log)
			break
		}
	}
}

// What depends on the service uses it at once when it has started.
func dependOnService(t *testing.T, d *debian) {
	unit := "[Unit]\nRequires=midge.service\nAfter=midge.service\n[Service]\nType=oneshot\nExecStart=/usr/bin/midge -t " + target + " status\n"
	path := filepath.Join(d.root, "etc/systemd/system/dependent.service")
	if err := os.WriteFile(path, []byte(unit), 0o644); err != nil {
		t.Fatal(err)
	}
	d.run(t, "systemctl", "stop", "midge")
	d.run(t, "systemctl", "daemon-reload")
	d.run(t, "systemctl", "start", "dependent")
	if journal := d.run(t, "journalctl", "--no-pager", "--unit", "dependent"); !strings.Contains(journal, "logged in successfully") || strings.Contains(journal, "waiting") {
		t.Errorf("it finds the server so:\n%s", journal)
	}
}

func executeAndHijack(t *testing.T, d *debian) {
	if out := ann(t, d, "midge execute -c hello.yml"); out != "hello" {
		t.Errorf("the task says %q", out)
	}
	_, refused := d.exits(t, 1, "runuser", "-u", "bob", "--", "midge", "-t", target, "builds")
	if !strings.Contains(refused, "join the group midge") {
		t.Errorf("who is not in the group is told %q", refused)
	}
	finishTask(t, d, startTask(t, d))
}

// The server has given up what the unit says, and has what containers need.
func readCapabilities(t *testing.T, d *debian) {
	status := d.run(t, "cat", "/proc/"+property(t, d, "MainPID")+"/status")
	_, line, _ := strings.Cut(status, "CapBnd:\t")
	has, err := strconv.ParseUint(line[:16], 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	for name, is := range map[string]struct {
		number int
		kept   bool
	}{
		"CAP_SYS_ADMIN": {unix.CAP_SYS_ADMIN, true}, "CAP_NET_ADMIN": {unix.CAP_NET_ADMIN, true}, "CAP_MKNOD": {unix.CAP_MKNOD, true},
		"CAP_SYS_MODULE": {unix.CAP_SYS_MODULE, false}, "CAP_SYS_BOOT": {unix.CAP_SYS_BOOT, false}, "CAP_SYS_TIME": {unix.CAP_SYS_TIME, false},
		"CAP_SYSLOG": {unix.CAP_SYSLOG, false}, "CAP_MAC_ADMIN": {unix.CAP_MAC_ADMIN, false}, "CAP_AUDIT_CONTROL": {unix.CAP_AUDIT_CONTROL, false},
	} {
		if got := has&(1<<is.number) != 0; got != is.kept {
			t.Errorf("that it may have %s is %v", name, got)
		}
	}
}

func restartService(t *testing.T, d *debian) {
	id := startTask(t, d)
	before := property(t, d, "MainPID")
	d.run(t, "systemctl", "restart", "midge")
	if after := property(t, d, "MainPID"); after == before {
		t.Errorf("the server is still process %s", after)
	}
	finishTask(t, d, id)
}

func killServer(t *testing.T, d *debian) {
	id := startTask(t, d)
	d.run(t, "systemctl", "kill", "--kill-whom=main", "--signal=KILL", "midge")
	until(t, "systemd has started the server again", func() bool {
		return property(t, d, "NRestarts") == "1" && property(t, d, "ActiveState") == "active"
	})
	finishTask(t, d, id)
	if journal := d.run(t, "journalctl", "--no-pager", "--unit", "midge"); !strings.Contains(journal, "status=9/KILL") {
		t.Errorf("the journal does not say that it was killed:\n%s", journal)
	}
}

func upgradePackage(t *testing.T, d *debian) {
	id := startTask(t, d)
	before := property(t, d, "MainPID")
	d.run(t, "dpkg", "--install", "/new.deb")
	wantService(t, d, "active", "enabled")
	if after := property(t, d, "MainPID"); after == before {
		t.Error("the server of the old package still runs")
	}
	finishTask(t, d, id)
}

// A task runs on while there is no server, and the next one finds it.
func stopService(t *testing.T, d *debian) {
	id := startTask(t, d)
	d.run(t, "systemctl", "stop", "midge")
	wantService(t, d, "inactive", "enabled")
	status, _ := d.exits(t, 3, "systemctl", "status", "--no-pager", "--full", "midge")
	if !strings.Contains(status, "shutting down; builds that run go on") {
		t.Errorf("systemctl status says\n%s", status)
	}
	annExits(t, d, 1, "midge builds")
	d.run(t, "systemctl", "start", "midge")
	finishTask(t, d, id)
}

// A server that is no service with Delegate=, as one that root starts by hand, has systemd
// make a scope for containers, which stay in it when the server is another one.
func serveByHand(t *testing.T, d *debian) {
	serve := func(unit, destroy string) {
		d.run(t, "systemd-run", "--quiet", "--unit", unit, "--service-type=notify", "--property=KillMode=process",
			"--setenv=MIDGE_DESTROY_ON_EXIT="+destroy, "midge-server", "--config", "/etc/midge/server.yml")
	}
	d.run(t, "systemctl", "stop", "midge")
	serve("first", "false")
	id := startTask(t, d)
	first := scopes(t, d)
	if len(first) != 1 {
		t.Fatalf("there are the scopes %q", first)
	}
	until(t, "the server says what the scope is", func() bool {
		journal := d.run(t, "journalctl", "--no-pager", "--unit", "first")
		return strings.Contains(journal, `msg="systemd has made a unit for containers"`) && strings.Contains(journal, "unit="+first[0])
	})
	if got := d.run(t, "systemctl", "show", "--property=Delegate,TasksMax", first[0]); !strings.Contains(got, "Delegate=yes\n") || !strings.Contains(got, "TasksMax=infinity") {
		t.Errorf("the scope has the properties\n%s", got)
	}
	containers, err := filepath.Glob(filepath.Join(d.cgroup, "system.slice", first[0], "midge-*-b"+id+"-*"))
	if err != nil || len(containers) != 1 {
		t.Fatalf("in the scope are the cgroups %q (%v), want that of a container", containers, err)
	}
	d.run(t, "systemctl", "daemon-reload")
	d.run(t, "systemctl", "stop", "first")
	serve("second", "true")
	second := without(scopes(t, d), first)
	if len(second) != 1 {
		t.Fatalf("besides %q there are the scopes %q", first, second)
	}
	if _, err := os.Stat(containers[0]); err != nil {
		t.Error(err)
	}
	finishTask(t, d, id)

	holder := d.run(t, "cat", "/sys/fs/cgroup/system.slice/"+second[0]+"/midge-server/cgroup.procs")
	d.run(t, "systemctl", "kill", "--signal=KILL", second[0])
	until(t, "the server knows that its scope has ended", func() bool {
		return d.command("test", "-e", "/proc/"+holder).Run() != nil
	})
	finishTask(t, d, startTask(t, d))
	if third := without(scopes(t, d), slices.Concat(first, second)); len(third) != 1 {
		t.Errorf("after the scope %q has ended there are the others %q", second, third)
	}
	d.run(t, "systemctl", "stop", "second")
	until(t, "the scopes have ended with the last containers", func() bool { return len(scopes(t, d)) == 0 })
	d.run(t, "systemctl", "reset-failed", "midge") // systemd counts how often it is started
	d.run(t, "systemctl", "start", "midge")
}

// scopes are the names of the units that servers have had made for containers.
func scopes(t *testing.T, d *debian) (names []string) {
	t.Helper()
	for line := range strings.Lines(d.run(t, "systemctl", "list-units", "--plain", "--no-legend", "midge-*.scope")) {
		name, _, _ := strings.Cut(line, " ")
		names = append(names, name)
	}
	return names
}

// without gives those of the names that are not among the others.
func without(names, others []string) []string {
	return slices.DeleteFunc(names, func(name string) bool { return slices.Contains(others, name) })
}

// A server that cannot start is a service that does not, with the reason in its status,
// and no obstacle to installing a package.
func misconfigure(t *testing.T, d *debian) {
	settings := filepath.Join(d.root, "etc/midge/server.yml")
	content, err := os.ReadFile(settings)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(settings, []byte("gc-grace: soon\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.exits(t, 1, "systemctl", "restart", "midge")
	if status, _ := d.exits(t, 3, "systemctl", "status", "--no-pager", "--full", "midge"); !strings.Contains(status, "gc-grace") {
		t.Errorf("systemctl status says\n%s", status)
	}
	if _, said := d.exits(t, 0, "dpkg", "--install", "/new.deb"); !strings.Contains(said, "journalctl -u midge says why") {
		t.Errorf("dpkg says\n%s", said)
	}
	if err := os.WriteFile(settings, content, 0o600); err != nil {
		t.Fatal(err)
	}
	d.run(t, "systemctl", "reset-failed", "midge")
	d.run(t, "systemctl", "start", "midge")
}

func disableService(t *testing.T, d *debian) {
	d.run(t, "systemctl", "disable", "--now", "midge")
	d.run(t, "dpkg", "--install", "/old.deb")
	wantService(t, d, "inactive", "disabled")
	d.run(t, "systemctl", "enable", "--now", "midge")
	wantService(t, d, "active", "enabled")
}

// running gives what of midge is at work in a Debian: processes, control groups of
// containers, links of the network, and mounts.
func running(t *testing.T, d *debian) string {
	t.Helper()
	return d.run(t, "sh", "-c", `cat /proc/[0-9]*/comm | grep midge
find /sys/fs/cgroup -name 'midge-*'
ip -o link | grep midge
findmnt -rno target | grep midge
find /run -name '*midge*'
true`)
}

// A package that is removed ends what still runs, and keeps the settings and the data dir.
func removePackage(t *testing.T, d *debian) {
	id := startTask(t, d)
	d.run(t, "dpkg", "--remove", "midge")
	if got := running(t, d); got != "" {
		t.Errorf("there is still\n%s", got)
	}
	d.run(t, "dpkg", "--install", "/new.deb")
	wantService(t, d, "active", "enabled")
	annExits(t, d, 2, "midge watch -b "+id)
	if log := ann(t, d, "midge watch -b 1"); log != "hello" {
		t.Errorf("the first build's log is %q", log)
	}
	ann(t, d, "midge execute -c hello.yml")
}

// A package that is purged leaves the group, which files may belong to.
func purgePackage(t *testing.T, d *debian) {
	d.run(t, "dpkg", "--purge", "midge")
	if got := running(t, d); got != "" {
		t.Errorf("there is still\n%s", got)
	}
	if got := d.run(t, "find", "/", "-xdev", "-name", "*midge*", "-not", "-path", "/home/*"); got != "" {
		t.Errorf("there is still\n%s", got)
	}
	if _, status := d.exits(t, 4, "systemctl", "status", "--no-pager", "midge"); !strings.Contains(status, "could not be found") {
		t.Errorf("systemd says %q", status)
	}
	d.run(t, "getent", "group", "midge")
}
