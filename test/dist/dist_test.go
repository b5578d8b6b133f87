// Package dist tests what make dist hands out: it builds the part for this machine,
// installs the Debian package below a directory, and starts what is in it.
package dist

import (
	"archive/tar"
	"compress/gzip"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"midge/test/source"
)

// version is what the distribution is of.
const version = "v1.2.3-4-gabcdef0"

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

// run runs a command that must succeed, and gives what it prints.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	output, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, output)
	}
	return string(output)
}

// archiveName and packageName are what the distribution has for this machine.
var (
	archiveName = "midge-" + version + "-linux-" + runtime.GOARCH
	packageName = "midge_1.2.3+4+gabcdef0_" + runtime.GOARCH + ".deb"
)

// made is where the distribution is.
var made string

// TestMain makes the distribution for the tests.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "midge-dist")
	if err != nil {
		log.Fatal(err)
	}
	made = dir
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		log.Fatal(err)
	}
	os.Exit(code)
}

// makeDistribution makes it, once.
var makeDistribution = sync.OnceValue(func() error {
	if err := source.Look(); err != nil {
		return err
	}
	output, err := exec.Command("../../packaging/dist", version, made, "linux/"+runtime.GOARCH).CombinedOutput()
	if err != nil {
		return fmt.Errorf("packaging/dist: %w\n%s", err, output)
	}
	return nil
})

// distribution gives the directory that has the distribution.
func distribution(t *testing.T) string {
	t.Helper()
	if err := makeDistribution(); err != nil {
		t.Fatal(err)
	}
	return made
}

func TestDistribution(t *testing.T) {
	dir := distribution(t)
	checksums := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
	checksums.Dir = dir
	if output, err := checksums.CombinedOutput(); err != nil || strings.Count(string(output), "OK") != 2 {
		t.Errorf("the checksums: %v\n%s", err, output)
	}
	t.Run("archive", func(t *testing.T) { checkArchive(t, filepath.Join(dir, archiveName+".tar.gz"), archiveName) })
	t.Run("package", func(t *testing.T) { checkPackage(t, filepath.Join(dir, packageName)) })
}

func checkArchive(t *testing.T, path, name string) {
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	compressed, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	wanted := map[string]bool{}
	for _, inside := range []string{"midge", "midge-server", "midge-agent", "midge.service", "README.md", "LICENSE", "man/midge-execute.1", "completions/_midge"} {
		wanted[name+"/"+inside] = true
	}
	for archive := tar.NewReader(compressed); ; {
		header, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Uid != 0 || header.Gid != 0 {
			t.Errorf("%s belongs to %d:%d", header.Name, header.Uid, header.Gid)
		}
		delete(wanted, header.Name)
	}
	if len(wanted) > 0 {
		t.Errorf("it lacks %v", wanted)
	}
}

// installed gives a directory that a Debian package is installed below.
func installed(t *testing.T, path string) (root string) {
	t.Helper()
	root = t.TempDir()
	for _, dir := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "etc"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "var/lib/dpkg/status"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, "dpkg", "--root="+root, "--force-depends", "--force-script-chrootless", "--install", path)
	return root
}

func checkPackage(t *testing.T, path string) {
	root := installed(t, path)
	in := func(name string) string { return filepath.Join(root, name) }
	for _, program := range []string{"midge", "midge-server", "midge-agent"} {
		checkStatic(t, in("usr/bin/"+program))
	}
	if got := run(t, in("usr/bin/midge"), "--version"); got != "midge "+version+"\n" {
		t.Errorf("midge --version prints %q", got)
	}
	for _, name := range []string{"usr/share/bash-completion/completions/midge", "usr/share/zsh/vendor-completions/_midge",
		"usr/share/fish/vendor_completions.d/midge.fish", "usr/share/man/man1/midge-execute.1.gz", "usr/share/doc/midge/copyright"} {
		if _, err := os.Stat(in(name)); err != nil {
			t.Error(err)
		}
	}
	if info, err := os.Stat(in("etc/midge/server.yml")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the settings may be read by others: %v, %v", info, err)
	}
	if groups, err := os.ReadFile(in("etc/group")); err != nil || !strings.Contains(string(groups), "\nmidge:") && !strings.HasPrefix(string(groups), "midge:") {
		t.Errorf("there is no group midge: %v\n%s", err, groups)
	}
	checkUnit(t, root)
	checkStart(t, root)
	run(t, "dpkg", "--root="+root, "--force-script-chrootless", "--purge", "midge")
	for _, name := range []string{"usr/bin/midge", "etc/midge", "lib/systemd/system/midge.service"} {
		if _, err := os.Lstat(in(name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s stays when the package is purged", name)
		}
	}
}

// checkStatic checks that a program needs nothing but the kernel.
func checkStatic(t *testing.T, path string) {
	t.Helper()
	program, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	for _, part := range program.Progs {
		if part.Type == elf.PT_INTERP {
			t.Errorf("%s is linked dynamically", path)
		}
	}
}

// checkUnit has systemd read the service, and look whether all is there that it names.
func checkUnit(t *testing.T, root string) {
	t.Helper()
	unit, err := os.ReadFile(filepath.Join(root, "lib/systemd/system/midge.service"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(unit), "\nKillMode=process\n") {
		t.Error("agents would die with the server")
	}
	// Of the manual, systemd would ask this machine's man; of the programs, it is told where they are.
	text := strings.ReplaceAll(string(unit), "=/usr/bin/", "="+root+"/usr/bin/")
	text = strings.ReplaceAll(text, "Documentation=man:midge(1)\n", "")
	path := filepath.Join(t.TempDir(), "midge.service")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if output := run(t, "systemd-analyze", "verify", "--recursive-errors=no", path); output != "" {
		t.Errorf("systemd says of the service:\n%s", output)
	}
}

// checkStart starts the server with the packaged settings, but for where it puts its things.
func checkStart(t *testing.T, root string) {
	t.Helper()
	socket := filepath.Join(root, "s")
	server := exec.Command(filepath.Join(root, "usr/bin/midge-server"), "--config", filepath.Join(root, "etc/midge/server.yml"),
		"--data-dir", filepath.Join(root, "data"), "--socket", socket, "--listen", "127.0.0.1:0", "--destroy-on-exit")
	var log strings.Builder
	server.Stderr = &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	deadline := time.After(patience)
	for {
		_, err := os.Stat(socket)
		if err == nil {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("the server ended: %v\n%s", err, log.String())
		case <-deadline:
			server.Process.Kill()
			t.Fatalf("the server does not come up:\n%s", log.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
	if got := run(t, filepath.Join(root, "usr/bin/midge"), "-t", "unix://"+socket, "status"); got != "logged in successfully\n" {
		t.Errorf("midge status says %q", got)
	}
	if err := server.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the server ends with %v\n%s", err, log.String())
	}
}
