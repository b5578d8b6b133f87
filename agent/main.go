package agent

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"midge/agent/pid1"
)

// Main is what the program midge-agent does with its arguments.
func Main(ctx context.Context, args []string) error {
	switch {
	case len(args) == 1 && args[0] == ModeInit:
		return pid1.Main(os.NewFile(pid1.Descriptor, "supervisor"))
	case len(args) == 1 && args[0] == ModeHold:
		_, err := io.Copy(os.Stdout, os.Stdin)
		return err
	case len(args) >= 2 && args[0] == ModeTry:
		namespaces, err := inheritedNamespaces(args[2:])
		if err != nil {
			return err
		}
		return tryMounts(args[1], namespaces)
	case len(args) >= 2 && args[0] == ModeSupervise:
		ctx, cancel := signal.NotifyContext(ctx, unix.SIGTERM)
		defer cancel()
		unix.CloseOnExec(readyDescriptor)
		namespaces, err := inheritedNamespaces(args[2:])
		if err != nil {
			return err
		}
		return Supervise(ctx, args[1], namespaces, os.NewFile(readyDescriptor, "ready"))
	default:
		return fmt.Errorf("this program is started by midge-server, not by hand, and knows nothing to do with the arguments %q", args)
	}
}
