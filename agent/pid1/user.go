package pid1

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

// identity is who a process runs as.
type identity struct {
	uid, gid uint32
	groups   []uint32 // all of them, gid included
	name     string   // "" when the image's passwd has no such user
	home     string
}

// A passwdLine is what matters of a line of /etc/passwd.
type passwdLine struct {
	name, home string
	uid, gid   uint32
}

// A groupLine is what matters of a line of /etc/group.
type groupLine struct {
	name    string
	gid     uint32
	members []string
}

// lookUpIdentity finds the user in the container's passwd and group files. A number
// and root need no line there, any other name does.
func lookUpIdentity(user string) (identity, error) {
	passwd, err := readLines("/etc/passwd", parsePasswdLine)
	if err != nil {
		return identity{}, err
	}
	group, err := readLines("/etc/group", parseGroupLine)
	if err != nil {
		return identity{}, err
	}
	return findIdentity(user, passwd, group)
}

// readLines parses a file line by line. One that is not there has none, and lines
// that cannot be parsed are passed over, as getpwnam does.
func readLines[T any](path string, parse func(string) (T, bool)) ([]T, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var lines []T
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		if line, ok := parse(scanner.Text()); ok {
			lines = append(lines, line)
		}
	}
	return lines, scanner.Err()
}

func parsePasswdLine(line string) (passwdLine, bool) {
	fields := strings.Split(line, ":")
	if len(fields) < 6 || fields[0] == "" {
		return passwdLine{}, false
	}
	uid, uidErr := parseID(fields[2])
	gid, gidErr := parseID(fields[3])
	return passwdLine{name: fields[0], uid: uid, gid: gid, home: fields[5]}, uidErr == nil && gidErr == nil
}

func parseGroupLine(line string) (groupLine, bool) {
	fields := strings.Split(line, ":")
	if len(fields) < 4 || fields[0] == "" {
		return groupLine{}, false
	}
	gid, err := parseID(fields[2])
	g := groupLine{name: fields[0], gid: gid}
	for member := range strings.SplitSeq(fields[3], ",") {
		if member != "" {
			g.members = append(g.members, member)
		}
	}
	return g, err == nil
}

// parseID parses a user's or group's number. The greatest one means "none" to the kernel.
func parseID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 1<<32-1 {
		return 0, fmt.Errorf("%q is no user or group number", s)
	}
	return uint32(n), nil
}

func findIdentity(user string, passwd []passwdLine, group []groupLine) (identity, error) {
	userPart, groupPart, hasGroup := strings.Cut(user, ":")
	if userPart == "" {
		userPart = "0"
	}
	id, err := findUser(userPart, passwd)
	if err != nil {
		return identity{}, err
	}
	if hasGroup {
		id.gid, err = findGroup(groupPart, group)
		if err != nil {
			return identity{}, err
		}
		id.groups = []uint32{id.gid}
		return id, nil
	}
	id.groups = []uint32{id.gid}
	for _, g := range group {
		if id.name != "" && slices.Contains(g.members, id.name) && !slices.Contains(id.groups, g.gid) {
			id.groups = append(id.groups, g.gid)
		}
	}
	return id, nil
}

func findUser(user string, passwd []passwdLine) (identity, error) {
	number, numberErr := parseID(user)
	for _, p := range passwd {
		if p.name == user || (numberErr == nil && p.uid == number) {
			return identity{uid: p.uid, gid: p.gid, name: p.name, home: p.home}, nil
		}
	}
	switch {
	case user == "root" || numberErr == nil && number == 0: // whom the smallest images do not name
		return identity{name: "root", home: "/root"}, nil
	case numberErr != nil:
		return identity{}, fmt.Errorf("the image's /etc/passwd has no user %q", user)
	default:
		return identity{uid: number, home: "/"}, nil
	}
}

func findGroup(name string, group []groupLine) (uint32, error) {
	for _, g := range group {
		if g.name == name {
			return g.gid, nil
		}
	}
	gid, err := parseID(name)
	if err != nil {
		return 0, fmt.Errorf("the image's /etc/group has no group %q", name)
	}
	return gid, nil
}

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment adds what every process has to env, and leaves of each name its last value.
func (id identity) environment(env []string, tty bool) []string {
	defaults := []string{"PATH=" + defaultPath, "HOME=" + id.home}
	if id.name != "" {
		defaults = append(defaults, "USER="+id.name)
	}
	if tty {
		defaults = append(defaults, "TERM=xterm")
	}
	all := append(defaults, env...)
	last := make(map[string]int, len(all))
	for i, kv := range all {
		name, _, _ := strings.Cut(kv, "=")
		last[name] = i
	}
	result := make([]string, 0, len(last))
	for i, kv := range all {
		name, _, _ := strings.Cut(kv, "=")
		if last[name] == i {
			result = append(result, kv)
		}
	}
	return result
}
