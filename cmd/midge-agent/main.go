// Midge-agent supervises a container's processes. The server starts it, once a
// container, and it starts itself again as the container's first process.
package main

import (
	"context"
	"fmt"
	"os"

	"midge/agent"
)

func main() {
	if err := agent.Main(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "midge-agent:", err)
		os.Exit(1)
	}
}
