//go:build cluster

package kubernetes_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"midge/test/cluster"
)

// node is the cluster of all tests.
var node *cluster.Cluster

// leftByClients are goroutines of what Kubernetes' clients keep for the program's life:
// connections that the next client of the same cluster uses.
var leftByClients = []goleak.Option{
	goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
	goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
	goleak.IgnoreAnyFunction("net/http.(*http2clientConnReadLoop).run"),
}

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
	if err := goleak.Find(leftByClients...); status == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	if err := node.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}
