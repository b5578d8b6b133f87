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
)

func main() {
	ctx := context.Background()
	ok, err := pod.Main(ctx, os.Args[1:])
	if !ok {
		err = agent.Main(ctx, os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "midge-agent:", err)
		os.Exit(1)
	}
}
