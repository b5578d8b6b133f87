package api

import "time"

// FileType says what a file is.
type FileType string

const (
	FileRegular   FileType = "file"
	FileDirectory FileType = "directory"
	FileSymlink   FileType = "symlink"
	FileOther     FileType = "other" // a device, a socket or a named pipe
)

// A File describes a file of a container.
type File struct {
	Name string   `json:"name"`
	Type FileType `json:"type"`
	// Mode are the permissions, with the setuid, setgid and sticky bits, as chmod has them.
	Mode uint32 `json:"mode"`
	// Size is in bytes, and that of a regular file.
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	// UID and GID are the owner's numbers, as the container has them.
	UID uint32 `json:"uid"`
	GID uint32 `json:"gid"`
	// Target is what a symbolic link says.
	Target string `json:"target,omitempty"`
}

// FileChangeKind says what became of a file.
type FileChangeKind string

const (
	FileAdded    FileChangeKind = "added"
	FileModified FileChangeKind = "modified" // its content, permissions, owner or type
	FileRemoved  FileChangeKind = "removed"
)

// A FileChange is a difference between what a container was given and what it has.
type FileChange struct {
	Path   string         `json:"path"` // absolute
	Change FileChangeKind `json:"change"`
	// Type and Size are those of what is there, or was when it is removed.
	Type FileType `json:"type"`
	Size int64    `json:"size"`
}
