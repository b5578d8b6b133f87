package runc

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"midge/agent"
	"midge/runtime"
)

// toolboxInside is where a container finds the toolbox: not among the image's files,
// and behind what its users have in their PATH.
const toolboxInside = "/dev/midge-toolbox"

// FindToolbox gives the busybox of this machine that needs nothing else, "" when there is none.
func FindToolbox() string {
	for _, program := range []string{"/bin/busybox", "/usr/bin/busybox", "/usr/local/bin/busybox"} {
		if isStatic(program) == nil {
			return program
		}
	}
	return ""
}

// isStatic gives an error for what is no program that needs no loader.
func isStatic(program string) error {
	file, err := elf.Open(program)
	if err != nil {
		return err
	}
	defer file.Close()
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP {
			return errors.New("it is linked dynamically, and would find no libraries in a container: install busybox-static")
		}
	}
	return nil
}

// openToolbox makes, in dir, a copy of busybox and a link to it for each of its commands.
// A container may have the directory mounted: what is there is not changed, and when
// busybox is, so is all else.
func (w *Worker) openToolbox(ctx context.Context, dir string) error {
	if err := isStatic(w.options.Toolbox); err != nil {
		return err
	}
	program := filepath.Join(dir, "busybox")
	if _, err := os.Lstat(program); errors.Is(err, fs.ErrNotExist) {
		if err := makeToolbox(ctx, w.options.Toolbox, dir, program); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	w.toolbox = dir
	return nil
}

// makeToolbox makes the toolbox, its program last. It goes on with what a killed server
// has made.
func makeToolbox(ctx context.Context, busybox, dir, program string) error {
	list, err := exec.CommandContext(ctx, busybox, "--list").Output()
	if err != nil {
		return fmt.Errorf("list its commands: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range strings.Fields(string(list)) {
		if name != filepath.Base(name) || name == "busybox" {
			continue
		}
		if err := os.Symlink("busybox", filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	if err := os.RemoveAll(program + ".new"); err != nil {
		return err
	}
	if err := copyFile(busybox, program+".new"); err != nil {
		return err
	}
	return errors.Join(os.Chmod(program+".new", 0o755), os.Rename(program+".new", program))
}

// useToolbox makes a process one of the toolbox.
func (c *container) useToolbox(p *agent.Process) error {
	config, err := agent.ReadConfig(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return &runtime.NotFoundError{Kind: "container", Name: c.handle}
	}
	if err != nil {
		return err
	}
	mounted := false
	for _, m := range config.Mounts {
		mounted = mounted || m.Target == filepath.Join(config.Stage, "toolbox")
	}
	if !mounted {
		return &runtime.ExecutableError{Path: p.Path, Reason: "the container has no toolbox: the server had no static busybox when it was made (--toolbox-path)"}
	}
	search := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, variable := range append(config.Env, p.Env...) {
		if value, ok := strings.CutPrefix(variable, "PATH="); ok {
			search = value
		}
	}
	p.Env = append(p.Env, "PATH="+strings.TrimPrefix(search+":"+toolboxInside, ":"))
	p.Path = path.Join(toolboxInside, p.Path)
	return nil
}
