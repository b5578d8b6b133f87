// Midge-agent supervises a container's processes. The server starts it, once a
// container, and it starts itself again as the container's first process. In a pod it
// is the first process from the start.
package main

import (
	"context"
	"fmt"
	"os"

	"midge/agent"
	"midge/agent/pod"
	"midge/priority"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "midge-agent:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	// What follows, a task's processes among it, is not preferred as the server is.
	if err := priority.Reset(); err != nil {
		return err
	}
	if ok, err := pod.Main(ctx, args); ok {
		return err
	}
	return agent.Main(ctx, args)
}
