//go:build cluster

package kubernetes_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"midge/test/cluster"
)

// node is the cluster of all tests.
var node *cluster.Cluster

func TestMain(m *testing.M) {
	flag.Parse()
	// The tests wait for the cluster, and not for this program.
	if err := flag.Set("test.parallel", "24"); err != nil {
		panic(err)
	}
	var err error
	if node, err = cluster.Start(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	if left := ownGoroutines(); left != "" {
		fmt.Fprintf(os.Stderr, "goroutines are left:\n%s\n", left)
		status = 1
	}
	if err := node.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

// ownGoroutines gives the stacks of the goroutines that midge's code has begun and that do
// not end, "" when there are none. What client-go has begun for itself it keeps.
func ownGoroutines() string {
	end, buffer := time.Now().Add(patience), make([]byte, 16<<20)
	for wait := time.Millisecond; ; wait *= 2 {
		stacks := string(buffer[:runtime.Stack(buffer, true)])
		// The first is the one that asks.
		_, others, _ := strings.Cut(stacks, "\n\n")
		var left []string
		for stack := range strings.SplitSeq(others, "\n\n") {
			if strings.Contains(stack, "midge/") {
				left = append(left, stack)
			}
		}
		if len(left) == 0 || time.Now().After(end) {
			return strings.Join(left, "\n\n")
		}
		time.Sleep(wait)
	}
}
