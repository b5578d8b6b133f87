// Package archive carries trees of files as tar streams: Extract unpacks one
// into a directory, Write makes one of a directory.
//
// Extract promises that nothing is ever written outside the directory it was
// given, whatever the stream says. Write promises that equal trees give equal
// bytes. Both keep contents, permissions, modification times to the second,
// symbolic and hard links and empty directories; owners, extended attributes, the
// times of symbolic links, devices, sockets and named pipes are no part of a
// tree. The package knows nothing of compression, nor of where a stream comes from.
//
// The functions work on a Tree. OpenTree gives that of a directory of this
// machine, on every system Go runs on; runtime/runtimetest has one in memory.
package archive

import (
	"io"
	"io/fs"
	"time"
)

// A Tree is a tree of files. Names are slash-separated and relative to its top,
// "." being the top itself. Symbolic links are followed in every component of a
// name but the last, by Stat and Open in the last as well; one that leads out
// of the tree is an error, as is a name that does. Errors are those of package
// fs. A Tree is used from one goroutine at a time.
type Tree interface {
	Stat(name string) (fs.FileInfo, error)
	Lstat(name string) (fs.FileInfo, error)
	Readlink(name string) (string, error)
	// ReadDir lists a directory in the order of names.
	ReadDir(name string) ([]fs.DirEntry, error)
	// Open opens a regular file to be read.
	Open(name string) (io.ReadCloser, error)

	// Create makes a regular file. A name that exists is an error.
	Create(name string) (File, error)
	Mkdir(name string) error
	Symlink(target, name string) error
	Link(existing, name string) error
	// Remove removes a file, a link or an empty directory.
	Remove(name string) error
	// Chmod and Chtimes change what is no symbolic link.
	Chmod(name string, mode fs.FileMode) error
	Chtimes(name string, modified time.Time) error

	Close() error
}

// A File is a regular file that is being written.
type File interface {
	io.Writer
	io.Seeker
	io.Closer
	Truncate(size int64) error
}

// Linked is what FileInfo.Sys may give to tell files that have several names
// apart. The files of this machine are told apart without it.
type Linked interface {
	// Identity is the same for all names of a file; links is their number.
	Identity() (id, links uint64)
}
