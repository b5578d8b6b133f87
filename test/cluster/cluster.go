// Package cluster runs a Kubernetes cluster of one node on this machine, for tests:
// etcd, kube-apiserver, kube-scheduler and kubelet built from their modules into a
// cache, and Debian's containerd. See README.md.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"midge/test/source"
)

// A Cluster is one that runs. It has the images BusyBox and Agent.
type Cluster struct {
	dir  string
	lock *os.File // nil when it is not this program's to take down
}

// Images that the cluster has, and that are in no registry.
const (
	BusyBox = "busybox:test"
	Agent   = "midge-agent:test"
)

// Variable names the environment variable that says where a cluster runs already, as
// up.sh was told, for tests to use in place of one of their own.
const Variable = "MIDGE_TEST_CLUSTER"

// Start starts a cluster. There is one at a time on a machine: it waits for others to end,
// and takes down one that a program has left which was killed.
func Start(ctx context.Context) (*Cluster, error) {
	if dir := os.Getenv(Variable); dir != "" {
		return &Cluster{dir: dir}, nil
	}
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "midge-cluster.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	c := &Cluster{lock: lock}
	if err := c.up(ctx); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func (c *Cluster) up(ctx context.Context) (err error) {
	// The file that is locked says where the state of the last one is, or was.
	last, err := io.ReadAll(c.lock)
	if err != nil {
		return err
	}
	if _, err := run(ctx, script("down.sh"), strings.TrimSpace(string(last))); err != nil {
		return fmt.Errorf("take down the cluster that was left: %w", err)
	}
	// Paths of sockets are short.
	if c.dir, err = os.MkdirTemp("", "midge-cluster-"); err != nil {
		return err
	}
	if err := c.lock.Truncate(0); err != nil {
		return err
	}
	if _, err := c.lock.WriteAt([]byte(c.dir), 0); err != nil {
		return err
	}
	programs, err := run(ctx, script("build.sh"))
	if err != nil {
		return fmt.Errorf("build the cluster's programs: %w", err)
	}
	agent := filepath.Join(c.dir, "midge-agent")
	if err := BuildAgent(ctx, agent); err != nil {
		return err
	}
	up := exec.CommandContext(ctx, script("up.sh"), c.dir)
	up.Env = append(up.Environ(), "CLUSTER_BIN="+strings.TrimSpace(programs), "CLUSTER_AGENT="+agent)
	// What it starts has its output elsewhere, and outlives it.
	if output, err := up.CombinedOutput(); err != nil {
		return fmt.Errorf("start the cluster: %w\n%s", err, output)
	}
	return nil
}

// BuildAgent builds midge-agent, as what it is in an image.
func BuildAgent(ctx context.Context, path string) error {
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "./cmd/midge-agent")
	build.Dir = source.Dir()
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build midge-agent: %w\n%s", err, output)
	}
	return nil
}

// Stop takes the cluster down. Nothing of it is left.
func (c *Cluster) Stop() error {
	if c.lock == nil {
		return nil
	}
	_, err := run(context.Background(), script("down.sh"), c.dir)
	return errors.Join(err, c.lock.Close())
}

// Kubeconfig is the file that says how to reach the cluster, as who may do all.
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.dir, "admin.kubeconfig") }

// Kubectl gives a command of kubectl on the cluster, as who may do all.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) *exec.Cmd {
	return c.node(ctx, append([]string{"kubectl", "--kubeconfig", c.Kubeconfig()}, args...)...)
}

// Controllers gives the command of a controller manager, which the cluster has not by
// itself: what makes pods of Deployments, and gives volumes to claims, what each namespace
// has to have for pods to reach the API server, and what deletes that which belongs to
// something deleted. It makes no default service accounts.
func (c *Cluster) Controllers(ctx context.Context) *exec.Cmd {
	return c.node(ctx, "kube-controller-manager", "--kubeconfig", c.Kubeconfig(), "--leader-elect=false", "--secure-port=0",
		"--root-ca-file", filepath.Join(c.dir, "pki/ca.crt"), "--controllers", strings.Join([]string{
			"deployment-controller", "replicaset-controller", "root-ca-certificate-publisher-controller",
			"persistentvolume-binder-controller", "persistentvolumeclaim-protection-controller", "persistentvolume-protection-controller",
			"garbage-collector-controller", "namespace-controller",
		}, ","))
}

// Forward gives a command that has TCP connections to an address go on to another, as
// long as it runs. All addresses of services are this machine's.
func (c *Cluster) Forward(ctx context.Context, address, to string) *exec.Cmd {
	return c.node(ctx, "forward", address, to)
}

// node gives a command of the program that the cluster's parts are.
func (c *Cluster) node(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, filepath.Join(c.dir, "node"), args...)
}

// AddImage gives the node the images of an archive, as docker save writes them.
func (c *Cluster) AddImage(ctx context.Context, archive string) error {
	_, err := run(ctx, "ctr", "-a", filepath.Join(c.dir, "containerd.sock"), "-n", "k8s.io", "images", "import", archive)
	return err
}

// Log is the file with what a part of the cluster says.
func (c *Cluster) Log(name string) string { return filepath.Join(c.dir, "log", name+".log") }

// Signal sends a signal to a part of the cluster: etcd, containerd, kube-apiserver,
// kube-scheduler or kubelet.
func (c *Cluster) Signal(name string, signal syscall.Signal) error {
	pid, err := c.pid(name)
	if err != nil {
		return err
	}
	return syscall.Kill(pid, signal)
}

// Restart kills a part of the cluster and starts it again.
func (c *Cluster) Restart(ctx context.Context, name string) error {
	_, err := run(ctx, script("restart.sh"), c.dir, name)
	return err
}

func (c *Cluster) pid(name string) (int, error) {
	all, err := os.ReadFile(filepath.Join(c.dir, "pids"))
	if err != nil {
		return 0, err
	}
	pid := 0
	for line := range strings.Lines(string(all)) {
		fields := strings.Fields(line)
		if len(fields) == 2 && fields[0] == name {
			if pid, err = strconv.Atoi(fields[1]); err != nil {
				return 0, err
			}
		}
	}
	if pid == 0 {
		return 0, fmt.Errorf("the cluster has no %s", name)
	}
	return pid, nil
}

func run(ctx context.Context, name string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, name, args...)
	var said strings.Builder
	command.Stderr = &said
	output, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", filepath.Base(name), err, said.String())
	}
	return string(output), nil
}

func script(name string) string { return filepath.Join(source.Dir(), "test/cluster", name) }
