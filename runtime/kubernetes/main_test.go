//go:build cluster

package kubernetes_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"

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
	if err := node.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}
