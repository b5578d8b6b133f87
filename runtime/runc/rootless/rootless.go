// Package rootless has an ordinary user's program go on as root of a user namespace,
// in which that is the user, and the other numbers are those that /etc/subuid and
// /etc/subgid give to the user. That is all that containers need root for, but for
// control groups and networks.
//
// It knows nothing of containers.
package rootless

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Enter has the program be root of a user namespace, and its mounts be its own. Of root
// it changes nothing; else the program begins anew, with the same arguments, environment,
// open files and process number, and Enter returns only with an error: one sentence that
// says what this machine lacks.
func Enter() error {
	if os.Geteuid() == 0 {
		return nil
	}
	unshare, err := find("unshare", "util-linux")
	if err != nil {
		return err
	}
	// What unshare runs to give the user's ranges to the namespace.
	for _, name := range []string{"newuidmap", "newgidmap"} {
		if _, err := find(name, "uidmap"); err != nil {
			return err
		}
	}
	owner, err := user.Current()
	if err != nil {
		return fmt.Errorf("find out who runs this: %w", err)
	}
	for _, path := range []string{"/etc/subuid", "/etc/subgid"} {
		if err := checkRange(path, owner); err != nil {
			return err
		}
	}
	arguments := []string{"unshare", "--user", "--map-root-user", "--map-auto", "--mount", "--"}
	// unshare explains itself to people, and once it is this process nobody can add to that.
	if out, err := exec.Command(unshare, append(arguments[1:], "true")...).CombinedOutput(); err != nil {
		return fmt.Errorf("an ordinary user's containers need a user namespace, and none can be made (%s): start the server with sudo, or allow it", bytes.TrimSpace(out))
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return fmt.Errorf("run %s: %w", unshare, unix.Exec(unshare, append(append(arguments, self), os.Args[1:]...), os.Environ()))
}

// Ordinary tells whether the program is an ordinary user's, before Enter and after it:
// then the user alone is root of the namespace, see user_namespaces(7).
func Ordinary() bool {
	if os.Geteuid() != 0 {
		return true
	}
	content, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false
	}
	return isOneAlone(string(content))
}

// isOneAlone reads /proc/PID/uid_map: whether root of the namespace is one user and no more.
func isOneAlone(content string) bool {
	first, _, _ := strings.Cut(content, "\n")
	fields := strings.Fields(first)
	return len(fields) == 3 && fields[0] == "0" && fields[2] == "1"
}

// find gives the path of a program, or says which package has it.
func find(name, from string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("an ordinary user's containers need the program %s: install %s, or start the server with sudo", name, from)
	}
	return path, nil
}

// checkRange looks whether a file like /etc/subuid has a range for a user.
func checkRange(path string, owner *user.User) error {
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if hasRange(string(content), owner) {
		return nil
	}
	return fmt.Errorf("the users of an ordinary user's containers need numbers, and %s has none for %s: run usermod --add-subuids 100000-165535 --add-subgids 100000-165535 %[2]s, or start the server with sudo", path, owner.Username)
}

// hasRange reads a file like /etc/subuid, see subuid(5).
func hasRange(content string, owner *user.User) bool {
	for line := range strings.Lines(content) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) != 3 || fields[0] != owner.Username && fields[0] != owner.Uid {
			continue
		}
		_, err := strconv.ParseUint(fields[1], 10, 32)
		count, countErr := strconv.ParseUint(fields[2], 10, 32)
		if err == nil && countErr == nil && count > 0 {
			return true
		}
	}
	return false
}
