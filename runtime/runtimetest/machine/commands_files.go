package machine

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"
)

func list(c *call) int {
	options, names := c.options("")
	if len(names) == 0 {
		names = []string{"."}
	}
	status := 0
	for _, name := range names {
		if err := c.list(name, options, len(names) > 1); err != nil {
			status = c.failed(name, err)
		}
	}
	return status
}

func (c *call) list(name string, options map[byte]string, titled bool) error {
	info, err := c.files().Lstat(c.program.path(name))
	if err != nil {
		return err
	}
	if target, err := c.files().Stat(c.program.path(name)); err == nil && target.IsDir() {
		info = target
	}
	if !info.IsDir() || has(options, 'd') {
		return c.listed(name, path.Dir(c.program.path(name)), info, options)
	}
	entries, err := c.files().ReadDir(c.program.path(name))
	if err != nil {
		return err
	}
	if titled {
		c.print("%s:\n", name)
	}
	if has(options, 'a') {
		c.listed(".", c.program.path(name), info, options)
		c.listed("..", c.program.path(name), info, options)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") && !has(options, 'a') && !has(options, 'A') {
			continue
		}
		info, err := entry.Info()
		if err == nil {
			err = c.listed(entry.Name(), c.program.path(name), info, options)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *call) listed(name, dir string, info fs.FileInfo, options map[byte]string) error {
	if !has(options, 'l') {
		return c.print("%s\n", name)
	}
	_, links := info.Sys().(identity).Identity()
	arrow := ""
	if target, err := c.files().Readlink(path.Join(dir, path.Base(name))); err == nil {
		arrow = " -> " + target
	}
	return c.print("%s %4d root root %8d %s %s%s\n",
		modeString(info.Mode()), links, info.Size(), info.ModTime().Format("Jan _2 15:04"), name, arrow)
}

// modeString gives a mode as ls does.
func modeString(mode fs.FileMode) string {
	kind := "-"
	switch mode.Type() {
	case fs.ModeDir:
		kind = "d"
	case fs.ModeSymlink:
		kind = "l"
	case fs.ModeDevice | fs.ModeCharDevice:
		kind = "c"
	}
	return kind + mode.Perm().String()[1:]
}

func makeDirectory(c *call) int {
	options, names := c.options("m")
	status := 0
	for _, name := range names {
		full := strings.TrimRight(c.program.path(name), "/")
		make := c.files().Mkdir
		if has(options, 'p') {
			make = c.files().MkdirAll
		}
		if err := make(full); err != nil {
			status = c.failed(name, err)
			continue
		}
		if text, ok := options['m']; ok {
			mode, err := strconv.ParseUint(text, 8, 12)
			if err == nil {
				err = c.files().Chmod(full, unixMode(mode))
			}
			if err != nil {
				status = c.failed(name, err)
			}
		}
	}
	return status
}

// unixBits are a mode as chmod(1) takes it, and unixMode the mode that they are.
func unixBits(mode fs.FileMode) uint64 {
	bits := uint64(mode.Perm())
	if mode&fs.ModeSetuid != 0 {
		bits |= 0o4000
	}
	if mode&fs.ModeSetgid != 0 {
		bits |= 0o2000
	}
	if mode&fs.ModeSticky != 0 {
		bits |= 0o1000
	}
	return bits
}

func unixMode(bits uint64) fs.FileMode {
	mode := fs.FileMode(bits & 0o777)
	if bits&0o4000 != 0 {
		mode |= fs.ModeSetuid
	}
	if bits&0o2000 != 0 {
		mode |= fs.ModeSetgid
	}
	if bits&0o1000 != 0 {
		mode |= fs.ModeSticky
	}
	return mode
}

func removeDirectory(c *call) int {
	_, names := c.options("")
	status := 0
	for _, name := range names {
		info, err := c.files().Lstat(c.program.path(name))
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("not a directory")
		}
		if err == nil {
			err = c.files().Remove(c.program.path(name))
		}
		if err != nil {
			status = c.failed(name, err)
		}
	}
	return status
}

func remove(c *call) int {
	options, names := c.options("")
	recursive := has(options, 'r') || has(options, 'R')
	status := 0
	for _, name := range names {
		full := c.program.path(name)
		info, err := c.files().Lstat(full)
		switch {
		case err != nil:
		case recursive:
			err = c.files().RemoveAll(full)
		case info.IsDir():
			err = fmt.Errorf("is a directory")
		default:
			err = c.files().Remove(full)
		}
		if err != nil && !(has(options, 'f') && isNotExist(err)) {
			status = c.failed(name, err)
		}
	}
	return status
}

func touch(c *call) int {
	options, names := c.options("dt")
	modified := time.Now()
	if text, ok := options['d']; ok {
		parsed, err := parseTime(text)
		if err != nil {
			return c.fail(1, "invalid date '%s'", text)
		}
		modified = parsed
	}
	if text, ok := options['t']; ok {
		parsed, err := time.Parse("200601021504.05", text)
		if err != nil {
			return c.fail(1, "invalid date '%s'", text)
		}
		modified = parsed
	}
	status := 0
	for _, name := range names {
		_, err := c.files().openFile(c.program.path(name), creating, 0o644)
		if err == nil {
			err = c.files().Chtimes(c.program.path(name), modified)
		}
		if err != nil {
			status = c.failed(name, err)
		}
	}
	return status
}

// parseTime reads the times that both touch -d of busybox and of coreutils take.
func parseTime(text string) (time.Time, error) {
	if seconds, ok := strings.CutPrefix(text, "@"); ok {
		n, err := strconv.ParseInt(seconds, 10, 64)
		return time.Unix(n, 0), err
	}
	return time.Parse("2006-01-02 15:04:05", text)
}

func chmod(c *call) int {
	_, names := c.options("")
	if len(names) < 2 {
		return c.fail(1, "usage: chmod mode file ...")
	}
	status := 0
	for _, name := range names[1:] {
		info, err := c.files().Stat(c.program.path(name))
		var mode fs.FileMode
		if err == nil {
			mode, err = changedMode(info.Mode(), names[0])
		}
		if err == nil {
			err = c.files().Chmod(c.program.path(name), mode)
		}
		if err != nil {
			status = c.failed(name, err)
		}
	}
	return status
}

// changedMode gives a mode as an octal number, or +x and the like, changes it.
func changedMode(mode fs.FileMode, change string) (fs.FileMode, error) {
	if bits, err := strconv.ParseUint(change, 8, 12); err == nil {
		return unixMode(bits), nil
	}
	who, what, ok := strings.Cut(change, "+")
	remove := !ok
	if remove {
		if who, what, ok = strings.Cut(change, "-"); !ok {
			return 0, fmt.Errorf("invalid mode '%s'", change)
		}
	}
	var bits fs.FileMode
	for _, letter := range what {
		at := strings.IndexRune("xwr", letter)
		if at < 0 {
			return 0, fmt.Errorf("invalid mode '%s'", change)
		}
		bits |= 1 << at
	}
	var all fs.FileMode
	for _, letter := range who + "a"[min(len(who), 1):] {
		switch letter {
		case 'u':
			all |= bits << 6
		case 'g':
			all |= bits << 3
		case 'o':
			all |= bits
		case 'a':
			all |= bits<<6 | bits<<3 | bits
		}
	}
	if remove {
		return mode &^ all, nil
	}
	return mode | all, nil
}

func readLink(c *call) int {
	_, names := c.options("")
	for _, name := range names {
		target, err := c.files().Readlink(c.program.path(name))
		if err != nil {
			return 1
		}
		c.print("%s\n", target)
	}
	return 0
}

// stat is stat -c with the formats for mode, size, links and time.
func stat(c *call) int {
	options, names := c.options("c")
	status := 0
	for _, name := range names {
		info, err := c.files().Lstat(c.program.path(name))
		if err != nil {
			status = c.failed(name, err)
			continue
		}
		_, links := info.Sys().(identity).Identity()
		c.print("%s\n", strings.NewReplacer(
			"%a", strconv.FormatUint(unixBits(info.Mode()), 8),
			"%A", modeString(info.Mode()),
			"%s", strconv.FormatInt(info.Size(), 10),
			"%h", strconv.FormatUint(links, 10),
			"%Y", strconv.FormatInt(info.ModTime().Unix(), 10),
			"%n", name, "%u", "0", "%g", "0", "%U", "root",
		).Replace(options['c']))
	}
	return status
}

func basename(c *call) int {
	if len(c.args) < 2 {
		return c.fail(1, "usage: basename path [suffix]")
	}
	base := path.Base(c.args[1])
	if len(c.args) > 2 {
		base = strings.TrimSuffix(base, c.args[2])
	}
	return c.written(c.print("%s\n", base))
}

func dirname(c *call) int {
	if len(c.args) < 2 {
		return c.fail(1, "usage: dirname path")
	}
	return c.written(c.print("%s\n", path.Dir(c.args[1])))
}

// find lists what lies below directories, of a type when -type says so.
func find(c *call) int {
	args, kind := c.args[1:], ""
	var roots []string
	for len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		roots, args = append(roots, args[0]), args[1:]
	}
	if len(args) == 2 && args[0] == "-type" {
		kind = args[1]
	} else if len(args) > 0 {
		return c.fail(1, "only -type is supported")
	}
	if len(roots) == 0 {
		roots = []string{"."}
	}
	status := 0
	for _, root := range roots {
		if err := c.find(root, kind); err != nil {
			status = c.failed(root, err)
		}
	}
	return status
}

func (c *call) find(name, kind string) error {
	info, err := c.files().Lstat(c.program.path(name))
	if err != nil {
		return err
	}
	if letter := strings.Replace(modeString(info.Mode())[:1], "-", "f", 1); kind == "" || kind == letter {
		if err := c.print("%s\n", name); err != nil {
			return err
		}
	}
	if !info.IsDir() {
		return nil
	}
	entries, err := c.files().ReadDir(c.program.path(name))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := c.find(name+"/"+entry.Name(), kind); err != nil {
			return err
		}
	}
	return nil
}
