//go:build unix

package archive

import (
	"io/fs"
	"syscall"
)

// fileID tells the files of a tree apart.
type fileID struct{ device, inode uint64 }

// identity gives what is the same for all names of a file, and false for a file
// with one name only.
func identity(info fs.FileInfo) (fileID, bool) {
	switch sys := info.Sys().(type) {
	case Linked:
		id, links := sys.Identity()
		return fileID{inode: id}, links > 1
	case *syscall.Stat_t:
		return fileID{uint64(sys.Dev), uint64(sys.Ino)}, sys.Nlink > 1
	}
	return fileID{}, false
}

// owner gives the numbers of who owns a file, root's where that is not known.
func owner(info fs.FileInfo) (uid, gid uint32) {
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		return sys.Uid, sys.Gid
	}
	return 0, 0
}
