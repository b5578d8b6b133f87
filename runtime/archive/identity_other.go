//go:build !unix

package archive

import "io/fs"

// fileID tells the files of a tree apart.
type fileID struct{ inode uint64 }

// identity gives what is the same for all names of a file, and false for a file
// with one name only, as are all files of this system.
func identity(info fs.FileInfo) (fileID, bool) {
	if linked, ok := info.Sys().(Linked); ok {
		id, links := linked.Identity()
		return fileID{id}, links > 1
	}
	return fileID{}, false
}

// owner is not known here.
func owner(fs.FileInfo) (uid, gid uint32) { return 0, 0 }
