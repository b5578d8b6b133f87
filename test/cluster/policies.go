package cluster

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// queue is the number of the kernel's queue for packets that are decided on.
const queue = "4127"

// toPods is the rule that has the kernel queue what opens a connection to a pod, while
// somebody decides on it. down.sh knows it by its comment.
var toPods = []string{
	"POSTROUTING", "-d", "10.89.0.0/22", "-m", "conntrack", "--ctstate", "NEW", "-m", "comment", "--comment", "midge-cluster",
	"-j", "NFQUEUE", "--queue-num", queue, "--queue-bypass",
}

// Enforce has NetworkPolicies hold that say who may reach pods, which they do not by
// themselves here, soon and until stop is called. What stop gives is what the program has
// said that decides.
func (c *Cluster) Enforce(ctx context.Context) (stop func() (said string, err error), err error) {
	program, err := run(ctx, script("enforce.sh"))
	if err != nil {
		return nil, fmt.Errorf("build what has NetworkPolicies hold: %w", err)
	}
	enforce := exec.CommandContext(ctx, strings.TrimSpace(program), c.Kubeconfig(), "127.0.0.1", queue)
	var said strings.Builder
	enforce.Stdout, enforce.Stderr = &said, &said
	if err := enforce.Start(); err != nil {
		return nil, err
	}
	rule := func(change string) error {
		_, err := run(context.WithoutCancel(ctx), "iptables", slices.Concat([]string{"-w", "-t", "mangle", change}, toPods)...)
		return err
	}
	stop = func() (string, error) {
		err := errors.Join(rule("-D"), enforce.Process.Kill())
		_ = enforce.Wait() // it was killed
		return said.String(), err
	}
	if err := rule("-A"); err != nil {
		_, stopErr := stop()
		return nil, errors.Join(err, stopErr)
	}
	return stop, nil
}
