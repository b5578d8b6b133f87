// Package runtime holds the nouns that a build step is made of: a Worker finds or
// creates Containers and Volumes, a Container runs and attaches to Processes, a
// Volume is an Artifact that also streams in, an Artifact streams out.
//
// A worker may be this machine (runtime/runc), a cluster (runtime/kubernetes) or
// memory (runtime/runtimetest). All of them pass the suite in runtime/runtimetest,
// which has a test for every promise made in the comments here. The package knows
// nothing of HTTP, SQL or builds.
//
// Everything here may be used from many goroutines at once. What a Worker holds
// outlives the process that made it: a server that comes back finds its containers,
// their processes, output and exit statuses by their handles and ids.
package runtime

import (
	"context"
	"io"
	"net"
	"time"

	"midge/api"
)

// A Worker runs containers.
type Worker interface {
	// Name is unique in a pool and never changes.
	Name() string

	// Info says what the worker is and how much it has to do.
	Info(ctx context.Context) (WorkerInfo, error)

	// FindOrCreateContainer gives the container of spec.Handle, made by this spec
	// when there is none. On an error nothing of a new container is left.
	// What failed because of the spec is a *SpecError.
	FindOrCreateContainer(ctx context.Context, spec ContainerSpec) (Container, error)

	// LookupContainer gives the container of that handle, or a *NotFoundError.
	LookupContainer(ctx context.Context, handle string) (Container, error)

	// Containers lists the handles of all containers, in no order.
	Containers(ctx context.Context) ([]string, error)

	// CreateVolume makes an empty volume. A handle that exists is an error.
	CreateVolume(ctx context.Context, handle string) (Volume, error)

	// LookupVolume gives the volume of that handle, or a *NotFoundError. Volumes
	// of containers (outputs, inputs' writable layers, caches) are found as well.
	LookupVolume(ctx context.Context, handle string) (Volume, error)

	// Volumes lists all volumes, in no order.
	Volumes(ctx context.Context) ([]VolumeInfo, error)

	// ClearCaches removes the caches whose key begins with prefix, and says how
	// many those were. Containers that use one keep what they see.
	ClearCaches(ctx context.Context, prefix string) (int, error)
}

// A Collector is a Worker that keeps what it may need again, as images.
type Collector interface {
	Worker

	// Collect removes what nobody has used for that long.
	Collect(ctx context.Context, unused time.Duration) error
}

// Crowded is a Worker whose containers may have to wait for room that others take.
type Crowded interface {
	Worker

	// WaitsForRoom tells whether some do.
	WaitsForRoom(ctx context.Context) (bool, error)
}

// WorkerInfo says what a worker is and how busy it is.
type WorkerInfo struct {
	Runtime  string // runc, kubernetes, memory
	Platform string // as in a task config: linux
	// Architecture is what a task may ask for behind its platform, as Go calls it. A
	// worker that has several leaves it "", and puts a container where spec.Platform says.
	Architecture string
	Tags         []string
	// OptionalTags are more that tasks may ask for, and need not: a worker that has
	// several parts puts a container where spec.Tags says.
	OptionalTags   []string
	Team           string // "" when every team may use it
	State          string // running, landing, landed
	StartTime      time.Time
	Containers     int
	Volumes        int
	ActiveTasks    int // processes with the id TaskProcessID that are running
	MaxActiveTasks int // 0: no limit
	// Pending counts those of Containers that are being made and wait for something,
	// and Waits says for what, each reason once.
	Pending int
	Waits   []string
	// Remote workers do not see the directories of this machine: what is Local here
	// has to be streamed to them.
	Remote bool
}

// VolumeInfo says what a volume is.
type VolumeInfo struct {
	Handle          string
	Type            string // artifact, container, cache
	ContainerHandle string // "" unless Type is container
	Path            string // where it is mounted, "" when it is not
	ParentHandle    string // the volume below a copy-on-write one
	CacheKey        string // "" unless Type is cache
}

// TaskProcessID is the id of the process that is a container's task.
const TaskProcessID = "task"

// ContainerSpec says what a container is to be.
type ContainerSpec struct {
	// Handle names the container: 1 to 64 of a-z, 0-9 and '-'.
	Handle string

	// Platform and Tags are what the worker was selected by. They say to one that has
	// several parts which of those the container is to be on; "" and none are any.
	Platform string // linux, or linux/arm64
	Tags     []string

	// Dir is the working directory, an absolute path inside. Inputs, outputs and
	// caches with relative paths are below it. It is made if the image lacks it.
	Dir string

	Image ImageSpec

	// Env is the environment of every process, KEY=VALUE, before a process's own.
	Env []string

	// User is who the processes run as, by name or id of the image's passwd; "" is the image's, else root.
	// On a worker whose containers have one user alone, "" is that one, and another a *SpecError.
	User string

	// Hostname is the name the container has for itself; "" makes it the handle. A
	// worker may leave out of it what a host's name cannot have, and what is over 63 bytes.
	Hostname string

	Privileged bool
	// Hermetic containers have no network but loopback. A worker that cannot give
	// that refuses them.
	Hermetic bool

	Limits  Limits
	Inputs  []Input
	Outputs []Output
	Caches  []Cache

	// Progress, if it is not nil, is called with a line for the user, without its
	// end, while something takes its time: an image that is pulled. Calls do not
	// overlap, and end before FindOrCreateContainer returns.
	Progress func(line string)
}

// ImageSpec says what a container's root file system is. One of its fields is set.
type ImageSpec struct {
	// Host takes the worker's own system directories, read-only below a throw-away layer.
	Host bool
	// RootfsURI is raw:///dir: a directory of the worker, below one the worker was told to allow.
	RootfsURI string
	// Registry is an image of a registry.
	Registry *RegistryImage
	// Artifact is a tree with an image in it: an OCI layout, a docker or OCI archive, or rootfs/ and metadata.json.
	Artifact Artifact
}

// RegistryImage is an image of a registry, as image_resource in a task config names it.
type RegistryImage struct {
	Type    string // registry-image or docker-image
	Source  map[string]any
	Version map[string]string
}

// Limits bounds a container. 0 is the worker's default.
type Limits struct {
	CPUShares uint64 // 1024 is one full weight
	Memory    uint64 // bytes
	Pids      int64  // not bounded on a worker that cannot
	OpenFiles uint64 // of a process; a worker gives no more than it has itself

	// Disk is how many bytes the container's files, less what it was given, and the
	// output of its processes may take. What is beyond that is not written, or else, at
	// some later moment, all of its processes are killed. Not bounded on a worker that cannot;
	// one whose machines count for it counts what the container was given as well, and has
	// nothing left of one that has taken more.
	Disk uint64
}

// Input mounts an artifact, copy-on-write: what the container writes there nobody else sees.
type Input struct {
	Artifact Artifact
	Path     string
}

// Output is a directory that exists, empty and writable, before a process starts.
// Its volume is found by Container.Volume(Path).
type Output struct {
	Path string
}

// Cache is a directory that is kept from one container to the next of the same key.
// Containers that use a key at the same time each see what was there when they
// began; the last that calls Container.KeepCaches wins.
type Cache struct {
	Key  string
	Path string
}

// A Container is a place where processes run. It stays, files and all, until it
// is destroyed, also when none of its processes is left.
type Container interface {
	Handle() string

	// Run starts a process. An id that was used already is an error. A path that
	// does not exist or cannot be executed is a *ExecutableError, a working
	// directory that does not exist or a user that does not a *SpecError; then no
	// process is left and the id is free.
	// Cancelling ctx once Run has returned does nothing to the process.
	// A container that was stopped is started again.
	Run(ctx context.Context, spec ProcessSpec) (Process, error)

	// Attach gives a process that was started before, running or not, or a *NotFoundError.
	Attach(ctx context.Context, id string) (Process, error)

	// Processes lists the ids of all processes, in no order.
	Processes(ctx context.Context) ([]string, error)

	// Volume gives the volume that is mounted at that path of the spec (an input's,
	// output's or cache's Path as it stands there), or a *NotFoundError.
	Volume(ctx context.Context, path string) (Volume, error)

	// Files are the container's files.
	Files() Files

	// KeepCaches makes what is now in the container's cache directories the
	// content of their keys.
	KeepCaches(ctx context.Context) error

	// Stop ends all processes: SIGTERM, then after grace SIGKILL. It returns when
	// none is left. Files stay.
	Stop(ctx context.Context, grace time.Duration) error

	// Destroy stops at once and removes everything of the container, volumes
	// included. A container that is already gone is no error.
	Destroy(ctx context.Context) error
}

// Listening is a Container whose processes can connect to this process: over their
// own loopback, whatever network they have, if any. A worker that cannot have that
// gives containers that are none.
type Listening interface {
	Container

	// Listen gives a listener at an address of the loopback that processes of the
	// container have; one that shares the machine's network shares this as well. It
	// is for the process with that id, running or yet to be run: while that has not
	// ended, each further call gives a listener at the same address, also after this
	// process has ended and another has taken its place, and connections wait for
	// one. Of a process that has ended it is a *NotFoundError.
	// The caller closes the listener.
	Listen(ctx context.Context, id string) (net.Listener, error)

	// Environment is that of every process, before its own: what the image sets and,
	// after it, the Env of the container's spec.
	Environment(ctx context.Context) ([]string, error)
}

// Distant is a Container whose processes go on while what leads to it is away.
type Distant interface {
	Container

	// TellOutages calls tell with a line for the user, without its end, when the
	// container was not reached for some seconds, and with another when it is again,
	// until ctx ends. Calls do not overlap, and end before it returns.
	TellOutages(ctx context.Context, tell func(line string))
}

// Weighed is a Container that tells how much it has on a disk of this machine.
type Weighed interface {
	Container

	// DiskUsed is how many bytes the container takes, counted as Limits.Disk is. When
	// ctx ends before all is counted it gives what was by then, and an error.
	DiskUsed(ctx context.Context) (uint64, error)
}

// Files are the files of a container as its processes see them: those of its image,
// with inputs, outputs and caches in their places. They can be had whether processes
// run there or not, and whatever the image has: nothing of it is used.
//
// A path is absolute, or relative to the container's Dir. Symbolic links on the way,
// and at its end, are followed as they are inside; one never leaves the container,
// whatever links are in it. What the kernel shows as files, in /proc and /sys, is left
// out. A path that is not there is a *NotFoundError of the kind "path".
type Files interface {
	// Stat describes what lies at path, or what the link there leads to.
	Stat(ctx context.Context, path string) (api.File, error)

	// List describes what a directory has, in the order of names, or what else lies
	// at path, alone. Links in a directory are described, not followed.
	List(ctx context.Context, path string) ([]api.File, error)

	// StreamOut gives what lies at path as Artifact.StreamOut does.
	StreamOut(ctx context.Context, path string) (io.ReadCloser, error)

	// StreamIn unpacks a tar stream in the directory at path as Volume.StreamIn does.
	// What is made belongs to whom the directory does, and the directory, when it is
	// there, keeps its permissions.
	StreamIn(ctx context.Context, path string, tar io.Reader) error

	// Changes gives what differs, in the order of paths, from what the container was
	// given: from its image, and from its inputs. Outputs and caches are not looked
	// at, nor is what the worker itself puts into every container. A directory that
	// is new comes with all below it, one that was removed comes alone. A file that
	// was written with what it had already is no change, and neither is its time.
	// A worker that does not know what a container was given refuses by a *SpecError.
	Changes(ctx context.Context) ([]api.FileChange, error)
}

// ProcessSpec says what to run in a container.
type ProcessSpec struct {
	// ID names the process in its container: 1 to 64 of a-z, 0-9 and '-'.
	ID string

	// Path is an executable: absolute, relative to the working directory when it
	// has a slash, else looked up in the PATH of Env. "" is the image's entrypoint,
	// before Args or, without any, the image's own arguments; a worker that does not
	// know what an image runs has none of either.
	Path string
	Args []string

	// Dir is the working directory, absolute or relative to the container's Dir; "" is that.
	Dir string

	// Env is added to the container's, the later of the same name winning.
	Env []string

	// User is who runs it; "" is the container's.
	User string

	Privileged bool

	// Toolbox has Path be a command of the worker's own, of those of busybox, for an
	// image that has none. They come after the image's in the process's PATH. A worker
	// that has no such commands gives a *ExecutableError.
	Toolbox bool

	// TTY gives the process a terminal of that size. Its output is one stream, Stdout.
	TTY *WindowSize

	// Stdin opens a pipe for Process.Write. Without it, and without a TTY, stdin is at its end.
	Stdin bool

	// Scrollback is how many bytes of output are kept at the least, and half as many of
	// those that somebody has read; 0 keeps all. Output that nobody has read yet is not
	// dropped: the process waits. A reader that is slower than another keeps nobody waiting.
	Scrollback int64
}

// WindowSize is a terminal's size in characters, each 0 to 65535.
type WindowSize struct {
	Columns uint16
	Rows    uint16
}

// A Process is a command in a container.
type Process interface {
	ID() string

	// Output reads what the process has written, from sequence number from on:
	// bytes are numbered from 0 over both streams in the order in which they were
	// read. Earlier than what is kept starts at what is kept. Many readers may
	// read at once, each at its own pace.
	Output(ctx context.Context, from int64) (OutputReader, error)

	// Write gives the process input. offset is the number of input bytes before p;
	// bytes that arrived before are passed over, so a writer that lost its
	// connection may write them again. It gives how many input bytes have been
	// taken in all, which is where to go on. An offset beyond what has arrived is
	// an error, as is new input for a process that has no stdin, whose stdin is
	// closed, or that has ended.
	Write(ctx context.Context, offset int64, p []byte) (int64, error)

	// CloseStdin tells the process that no input follows. Calling it twice is no error.
	CloseStdin(ctx context.Context) error

	// Resize sets the terminal's size. Without a terminal it is an error.
	Resize(ctx context.Context, size WindowSize) error

	// Signal sends a signal to the process's group; of a process that has ended it is no error.
	Signal(ctx context.Context, signal Signal) error

	// Wait gives the exit status once the process has ended and all it has
	// written is in Output. Many may wait; ctx ends the waiting alone.
	Wait(ctx context.Context) (ExitStatus, error)

	// Usage gives, once Wait has given how the process ended, what was used: by the
	// container while the one of TaskProcessID ran, and of any other process by itself
	// and those that it has started and waited for. It is nil when it is not known:
	// before that, and on a worker that cannot tell. Without samples it says why in Missing.
	Usage(ctx context.Context) (*api.ResourceUsage, error)
}

// Signal is a signal's name, without SIG.
type Signal string

const (
	SignalInterrupt Signal = "INT"
	SignalTerminate Signal = "TERM"
	SignalKill      Signal = "KILL"
	SignalHangup    Signal = "HUP"
	SignalQuit      Signal = "QUIT"
)

// ExitStatus says how a process ended.
type ExitStatus struct {
	// Code is what the process gave to exit, or 128 and the signal's number.
	Code int
	// Signal is the name, without SIG, of what killed it; "" when it exited.
	Signal string
	// OOMKilled tells that the kernel killed a process of the container for memory meanwhile.
	OOMKilled bool
	// DiskUsed is how many bytes the container took on the disk when the process was killed
	// because those were more than Limits.Disk, or ended while no more could be written, else 0.
	DiskUsed uint64
	// Started and Ended are by this machine's clock, whatever that of the worker's is.
	Started, Ended time.Time
}

// Stream is where output was written to.
type Stream uint8

const (
	Stdout Stream = 1
	Stderr Stream = 2
)

// Chunk is a piece of what a process wrote. Data is the reader's until its next call of Next.
type Chunk struct {
	Stream   Stream
	Sequence int64     // of the first byte of Data
	Time     time.Time // when it was written, as ExitStatus has times
	Data     []byte
}

// OutputReader reads a process's output.
type OutputReader interface {
	// Next waits for more. It gives io.EOF after the last byte of a process that
	// has ended. The context is the one Output was called with.
	Next() (Chunk, error)
	Close() error
}

// An Artifact is a tree of files that can be read.
type Artifact interface {
	// Handle names the artifact: a volume's handle, or the digest of a stored tree.
	Handle() string

	// StreamOut gives the tree at path (relative, "." for all of it; a file comes
	// alone) as an uncompressed tar stream, owners left out, in a stable order.
	// A path may lead through symbolic links of the tree. One that is not there is
	// a *NotFoundError; one never leaves the tree, whatever links are in it.
	StreamOut(ctx context.Context, path string) (io.ReadCloser, error)
}

// Local is an Artifact whose files lie in a directory of this machine. A worker
// on it mounts the directory instead of copying it.
type Local interface {
	Artifact

	// LocalPath gives the directory, to be read only. It stays as it is until
	// release is called.
	LocalPath(ctx context.Context) (dir string, release func(), err error)
}

// A Volume is a directory of a worker.
type Volume interface {
	Artifact

	// StreamIn unpacks an uncompressed tar stream at path (relative, "." for the
	// top, made if it is not there). Entries whose name or hard link leaves the
	// volume, device nodes and named pipes are a *TarError, as is a stream that is
	// no tar or is cut. Symbolic links are kept as they are, since what they lead to
	// depends on where the volume is mounted; nothing is unpacked through one that
	// leaves the volume. See runtime/archive, which all volumes share.
	StreamIn(ctx context.Context, path string, tar io.Reader) error

	Info(ctx context.Context) (VolumeInfo, error)

	// Destroy removes it. One that is already gone is no error.
	Destroy(ctx context.Context) error
}
