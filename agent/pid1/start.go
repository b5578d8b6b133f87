package pid1

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"midge/agent/thread"
)

// start starts a process. stdio are its standard input, output and error, the
// first missing when it has none, all missing when it has a terminal; then the
// terminal's master is given back.
func start(s Start, stdio []*os.File) (pid int, master *os.File, err error) {
	id, err := lookUpIdentity(s.User)
	if err != nil {
		return 0, nil, &Failure{Kind: FailedSpec, Message: err.Error()}
	}
	dir, err := enterable(s)
	if err != nil {
		return 0, nil, err
	}
	if err := giveOwn(s.Own, id); err != nil {
		return 0, nil, err
	}
	env := id.environment(s.Env, s.TTY != nil)
	path, failure := findExecutable(s.Path, dir, lookUp(env, "PATH"))
	if failure != nil {
		return 0, nil, failure
	}

	attributes := &syscall.ProcAttr{Dir: dir, Env: env, Sys: &syscall.SysProcAttr{Setsid: true}}
	if attributes.Sys.Credential, err = credential(id); err != nil {
		return 0, nil, err
	}
	var opened []*os.File
	defer func() {
		for _, f := range opened {
			f.Close()
		}
	}()
	if s.TTY != nil {
		var terminal *os.File
		master, terminal, err = openTerminal(*s.TTY, id)
		if err != nil {
			return 0, nil, err
		}
		opened = append(opened, terminal)
		stdio = []*os.File{terminal, terminal, terminal}
		attributes.Sys.Setctty = true
	}
	if !s.Stdin && s.TTY == nil {
		null, err := os.Open(os.DevNull)
		if err != nil {
			return 0, nil, err
		}
		opened = append(opened, null)
		stdio = append([]*os.File{null}, stdio...)
	}
	for _, f := range stdio {
		attributes.Files = append(attributes.Files, f.Fd())
	}

	pid, err = fork(path, append([]string{s.Path}, s.Args...), attributes, s.Unprivileged)
	if err != nil {
		if master != nil {
			master.Close()
		}
		return 0, nil, explainExec(path, id, err)
	}
	return pid, master, nil
}

// credential is what makes a process the user's, nil where it is anyway.
func credential(id identity) (*syscall.Credential, error) {
	own := uint32(os.Geteuid())
	switch own {
	case 0:
		return &syscall.Credential{Uid: id.uid, Gid: id.gid, Groups: id.groups}, nil
	case id.uid:
		return nil, nil
	default:
		return nil, &Failure{Kind: FailedSpec, Message: fmt.Sprintf("the container's processes are user %d's, and cannot be user %s's", own, id)}
	}
}

// enterable makes the working directory and gives the process's own.
func enterable(s Start) (string, error) {
	if err := os.MkdirAll(s.WorkingDir, 0o755); err != nil {
		return "", &Failure{Kind: FailedSpec, Message: fmt.Sprintf("the working directory %s cannot be made: %v", s.WorkingDir, err)}
	}
	dir := s.Dir
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(s.WorkingDir, dir)
	}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", &Failure{Kind: FailedSpec, Message: fmt.Sprintf("the directory to run in, %s, does not exist", dir)}
	case err != nil:
		return "", &Failure{Kind: FailedSpec, Message: fmt.Sprintf("the directory to run in, %s, cannot be entered: %v", dir, err)}
	case !info.IsDir():
		return "", &Failure{Kind: FailedSpec, Message: fmt.Sprintf("the directory to run in, %s, is no directory", dir)}
	}
	return dir, nil
}

// giveOwn gives directories that are still root's to the user, who is to write there.
func giveOwn(dirs []string, id identity) error {
	if id.uid == 0 {
		return nil
	}
	for _, dir := range dirs {
		var stat unix.Stat_t
		if err := unix.Lstat(dir, &stat); err != nil {
			return fmt.Errorf("look at %s: %w", dir, err)
		}
		if stat.Uid != 0 || stat.Mode&unix.S_IFMT != unix.S_IFDIR {
			continue
		}
		if err := os.Lchown(dir, int(id.uid), int(id.gid)); err != nil {
			return fmt.Errorf("give %s to user %s: %w", dir, id, err)
		}
	}
	return nil
}

func lookUp(env []string, name string) string {
	for _, kv := range env {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value
		}
	}
	return ""
}

// fork starts the program, its capabilities cut down first when it is to be unprivileged.
func fork(path string, argv []string, attributes *syscall.ProcAttr, unprivileged bool) (int, error) {
	if !unprivileged {
		return syscall.ForkExec(path, argv, attributes)
	}
	pid := 0
	err := thread.Run(func() (err error) {
		if err := dropCapabilities(); err != nil {
			return fmt.Errorf("drop capabilities: %w", err)
		}
		pid, err = syscall.ForkExec(path, argv, attributes)
		return err
	})
	return pid, err
}

// openTerminal gives both ends of a new terminal of the container's own devpts.
func openTerminal(size Size, id identity) (master, terminal *os.File, err error) {
	// Not by os.OpenFile, which would make both non-blocking, for their users too.
	fd, err := unix.Open("/dev/pts/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open a terminal: %w", err)
	}
	master = os.NewFile(uintptr(fd), "/dev/pts/ptmx")
	defer func() {
		if err != nil {
			master.Close()
		}
	}()
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, nil, fmt.Errorf("find the terminal's name: %w", err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, fmt.Errorf("unlock the terminal: %w", err)
	}
	name := fmt.Sprintf("/dev/pts/%d", number)
	if err := os.Chown(name, int(id.uid), -1); err != nil {
		return nil, nil, fmt.Errorf("give the terminal to user %s: %w", id, err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: size.Columns, Row: size.Rows}); err != nil {
		return nil, nil, fmt.Errorf("set the terminal's size: %w", err)
	}
	end, err := unix.Open(name, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open terminal %s: %w", name, err)
	}
	return master, os.NewFile(uintptr(end), name), nil
}
