package machine

import (
	"fmt"
	"io/fs"
	"path"
)

func copyFiles(c *call) int {
	options, names := c.options("")
	if len(names) < 2 {
		return c.fail(1, "usage: cp [-rp] source ... target")
	}
	recursive := has(options, 'r') || has(options, 'R') || has(options, 'a')
	target := names[len(names)-1]
	status := 0
	for _, name := range names[:len(names)-1] {
		if err := c.copy(c.program.path(name), c.resolve(target, name), recursive); err != nil {
			status = c.failed(name, err)
		}
	}
	return status
}

func (c *call) copy(source, target string, recursive bool) error {
	describe := c.files().Stat
	if recursive {
		describe = c.files().Lstat
	}
	info, err := describe(source)
	if err != nil {
		return err
	}
	switch {
	case info.Mode().Type() == fs.ModeSymlink:
		link, err := c.files().Readlink(source)
		if err != nil {
			return err
		}
		return c.files().Symlink(link, target)
	case info.IsDir() && !recursive:
		return fmt.Errorf("omitting directory")
	case info.IsDir():
		if err := c.files().MkdirAll(target); err != nil {
			return err
		}
		entries, err := c.files().ReadDir(source)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if err := c.copy(path.Join(source, entry.Name()), path.Join(target, entry.Name()), true); err != nil {
				return err
			}
		}
		return c.files().Chmod(target, info.Mode())
	}
	contents, err := c.files().ReadFile(source)
	if err != nil {
		return err
	}
	return c.files().WriteFile(target, contents, info.Mode())
}

func move(c *call) int {
	_, names := c.options("")
	if len(names) < 2 {
		return c.fail(1, "usage: mv source ... target")
	}
	target := names[len(names)-1]
	status := 0
	for _, name := range names[:len(names)-1] {
		if err := c.files().Rename(c.program.path(name), c.resolve(target, name)); err != nil {
			status = c.failed(name, err)
		}
	}
	return status
}

func link(c *call) int {
	options, names := c.options("")
	if len(names) != 2 {
		return c.fail(1, "usage: ln [-sf] target name")
	}
	name := c.resolve(names[1], names[0])
	if has(options, 'f') {
		if err := c.files().Remove(name); err != nil && !isNotExist(err) {
			return c.failed(names[1], err)
		}
	}
	var err error
	if has(options, 's') {
		err = c.files().Symlink(names[0], name)
	} else {
		err = c.files().Link(c.program.path(names[0]), name)
	}
	if err != nil {
		return c.failed(names[1], err)
	}
	return 0
}
