// Package pod has midge-agent be the first process of a pod's container, and speak
// with the server from there: both ends of that.
//
// An init container brings the program into a directory that the container has too,
// whatever its image: Install. What pods share may have it from an earlier one, in a
// directory that no container writes in but those of this program: KeepProgram. There it
// runs as the container's first process: Serve. It supervises the task and every hijacked
// process (package agent), and reads and writes the container's volumes. The server
// reaches it by a stream that somebody else makes, which leads to the standard input and
// output of the program in a third mode: Connect. A Client speaks over such streams, makes
// a new one when one is cut, and goes on where it was: by a process's sequence numbers and
// offsets nothing is lost or comes twice.
//
// Trees that are known by their content have a stream of their own, whose other end is
// the program in a fourth mode: there the pod asks and the server answers, as package
// artifacts/transfer has it.
//
// What goes over a stream is HTTP/2, so that many requests share one, each with
// an end and a flow control of its own.
//
// The package knows nothing of Kubernetes.
package pod

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
)

// Names of the program's modes, its first argument. The second is Dir.
const (
	// ModeInstall brings the program into the directory, with as many volumes as the
	// third argument says. With a fourth and a fifth the program is put into the directory
	// that pods share as well, and its digest into a file, or why it could not be put there.
	ModeInstall = "pod-install"
	// ModeCache does nothing: it keeps a container that has what pods share there for
	// exchanges, until a signal ends it.
	ModeCache = "pod-cache"
	// ModeExchange fetches and sends trees by their content, and takes task caches from
	// what pods share and keeps them there, as the server at the other end of standard
	// input and output orders: Exchange.
	ModeExchange = "pod-exchange"
	// ModeServe is the container's first process.
	ModeServe = "pod"
	// ModeConnect joins standard input and output to the first process.
	ModeConnect = "pod-connect"
)

// Dir is the directory that the modes share, in the init container and in the other.
const Dir = "/midge"

// Program is the program's path there.
const Program = Dir + "/" + programFile

// VolumeDir is where in Dir the volume of that number lies. It is mounted where the
// container is to see it.
func VolumeDir(number int) string { return "volumes/" + strconv.Itoa(number) }

const (
	runDir     = "run"      // what the supervisor keeps
	socketFile = "pod.sock" // in runDir
)

// Main does what the arguments say. ok is false when they name none of the modes.
func Main(ctx context.Context, args []string) (ok bool, err error) {
	if len(args) < 2 {
		return false, nil
	}
	mode, dir := args[0], args[1]
	switch {
	case mode == ModeInstall && len(args) == 3:
		return true, install(dir, args[2])
	case mode == ModeInstall && len(args) == 5:
		if err := install(dir, args[2]); err != nil {
			return true, err
		}
		return true, reportProgram(args[3], args[4])
	case mode == ModeCache && len(args) == 2:
		stay(ctx)
		return true, nil
	case mode == ModeExchange && len(args) == 2:
		return true, exchangeTrees(ctx, dir)
	case mode == ModeServe && len(args) == 2:
		return true, Serve(ctx, dir)
	case mode == ModeConnect && len(args) == 2:
		return true, Connect(ctx, filepath.Join(dir, runDir, socketFile))
	default:
		return false, nil
	}
}

func install(dir, number string) error {
	volumes, err := strconv.Atoi(number)
	if err != nil || volumes < 0 {
		return fmt.Errorf("%q is no number of volumes", number)
	}
	return Install(dir, volumes)
}

// reportProgram puts the program into the directory that pods share, and says in a file
// how that went: the pod itself does without.
func reportProgram(shared, file string) error {
	report, err := KeepProgram(shared)
	if err != nil {
		report = err.Error()
	}
	return os.WriteFile(file, []byte(report), 0o666)
}

// stay returns when a signal says so, or ctx.
func stay(ctx context.Context) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	<-ctx.Done()
}
