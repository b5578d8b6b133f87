package machine

import (
	"fmt"
	"strconv"
	"strings"
)

// A User is who a program runs as.
type User struct {
	Name string // "" when passwd has no name for the id
	UID  int
	GID  int
	Home string
}

// UnknownUserError tells that no user of that name is in /etc/passwd.
type UnknownUserError struct{ Name string }

func (e *UnknownUserError) Error() string {
	return fmt.Sprintf("user %q is not in /etc/passwd", e.Name)
}

// LookupUser finds a user by name, id, or either with a group after a colon, in
// /etc/passwd. An id that is not there is a user without a name.
func (f *FileSystem) LookupUser(name string) (User, error) {
	name, _, _ = strings.Cut(name, ":")
	passwd, err := f.ReadFile("/etc/passwd")
	if err != nil {
		passwd = nil
	}
	for line := range strings.Lines(string(passwd)) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) < 6 || fields[0] != name && fields[2] != name {
			continue
		}
		uid, uidErr := strconv.Atoi(fields[2])
		gid, gidErr := strconv.Atoi(fields[3])
		if uidErr == nil && gidErr == nil {
			return User{fields[0], uid, gid, fields[5]}, nil
		}
	}
	if uid, err := strconv.Atoi(name); err == nil && uid >= 0 {
		return User{UID: uid, GID: uid, Home: "/"}, nil
	}
	if name == "root" {
		return User{Name: "root", Home: "/root"}, nil
	}
	return User{}, &UnknownUserError{name}
}
