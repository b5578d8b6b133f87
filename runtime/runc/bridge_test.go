package runc_test

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"midge/runtime"
	"midge/runtime/runc"
	"midge/runtime/runc/network"
)

// inOwnNetwork runs the test again in a network of its own, where the bridge is in
// nobody's way, and tells whether this is there.
func inOwnNetwork(t *testing.T) bool {
	t.Helper()
	const inside = "MIDGE_RUNC_TEST_INSIDE"
	if os.Getenv(inside) == t.Name() {
		// /sys shows the network of whoever mounted it; the cgroups stay where they are.
		cgroups := t.TempDir()
		for _, m := range []struct {
			source, target, kind string
			flags                uintptr
		}{
			{"/sys/fs/cgroup", cgroups, "", unix.MS_BIND | unix.MS_REC},
			{"sysfs", "/sys", "sysfs", 0},
			{cgroups, "/sys/fs/cgroup", "", unix.MS_BIND | unix.MS_REC},
			{"", cgroups, "", unix.MS_SLAVE | unix.MS_REC},
		} {
			if err := unix.Mount(m.source, m.target, m.kind, m.flags, ""); err != nil {
				t.Fatalf("mount %s: %v", m.target, err)
			}
		}
		if err := unix.Unmount(cgroups, unix.MNT_DETACH); err != nil {
			t.Fatal(err)
		}
		return true
	}
	test := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	test.Env = append(os.Environ(), inside+"="+t.Name())
	test.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	out, err := test.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in a network of its own: %v\n%s", err, out)
	}
	return false
}

func TestBridge(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	dir := filepath.Join(t.TempDir(), "state")
	open := func() *runc.Worker {
		return newWorker(t, func(o *runc.Options) {
			o.StateDir = dir
			o.Network = runc.NetworkBridge
			o.Bridge = network.Defaults
			o.Bridge.Subnet = netip.MustParsePrefix("10.213.7.0/24")
			o.Bridge.Ready = 1
		})
	}
	w := open()
	address := func(c runtime.Container, id string) string {
		t.Helper()
		p := run(t, c, id, "ip -4 -o addr show scope global | sed 's/.* inet //; s/ .*//'")
		got := output(t, p, runtime.Stdout)
		if !strings.HasPrefix(got, "10.213.7.") {
			t.Fatalf("the address is %q: %s", got, output(t, p, runtime.Stderr))
		}
		return got
	}
	first := newContainer(t, w, runtime.ContainerSpec{Handle: "first"})
	second := newContainer(t, w, runtime.ContainerSpec{Handle: "second"})
	if a, b := address(first, "address"), address(second, "address"); a == b {
		t.Errorf("two containers have the address %s", a)
	}
	p := run(t, first, "names", "grep ^nameserver /etc/resolv.conf; ip link show lo | grep -q LOWER_UP && echo up")
	if got := output(t, p, runtime.Stdout); !strings.HasPrefix(got, "nameserver ") || !strings.HasSuffix(got, "\nup\n") {
		t.Errorf("the network is %q", got)
	}
	// Root inside is nobody to the network, and yet may do what a task does.
	serve := run(t, first, "serve", `perl -MSocket -e 'socket(S, PF_INET, SOCK_STREAM, 0); bind(S, sockaddr_in(80, INADDR_ANY)) or die $!; print "bound\n"'`)
	if got := output(t, serve, runtime.Stdout); got != "bound\n" {
		t.Errorf("serving on port 80: %q %s", got, output(t, serve, runtime.Stderr))
	}
	if status := wait(t, run(t, first, "change", "ip link set eth1 down")); status.Code == 0 {
		t.Error("a task has changed its network")
	}

	// A container that is stopped gives its address back, also to a later worker.
	if err := first.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	w.Close()
	w = open()
	again, err := w.LookupContainer(t.Context(), "first")
	if err != nil {
		t.Fatal(err)
	}
	address(again, "again")
	for _, handle := range []string{"first", "second"} {
		c, err := w.LookupContainer(t.Context(), handle)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Destroy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	left, err := filepath.Glob(filepath.Join(dir, "network", "*", "10.*"))
	if err != nil || len(left) > 0 {
		t.Errorf("addresses are left: %v (%v)", left, err)
	}
	awaitNoLinks(t)
}

// As many containers at once as one likes each have a network of their own, and nothing
// of them is left.
func TestManyContainersAtOnceOnTheBridge(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	const containers = 200
	dir := filepath.Join(t.TempDir(), "state")
	before := takeInventory(t, dir)
	w := newWorker(t, func(o *runc.Options) {
		o.StateDir = dir
		o.Network = runc.NetworkBridge
		o.Bridge = network.Defaults
		o.Bridge.Subnet = netip.MustParsePrefix("10.213.0.0/16")
	})
	var all sync.WaitGroup
	var mu sync.Mutex
	addresses := make(map[string]int)
	for i := range containers {
		all.Go(func() {
			got, err := addressOf(t.Context(), w, "many-"+itoa(i))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			addresses[got]++
		})
	}
	all.Wait()
	if len(addresses) != containers {
		t.Errorf("%d containers have %d addresses: %v", containers, len(addresses), addresses)
	}
	handles, err := w.Containers(t.Context())
	if err != nil || len(handles) != containers {
		t.Errorf("%d containers are there: %v", len(handles), err)
	}
	for _, handle := range handles {
		all.Go(func() {
			c, err := w.LookupContainer(t.Context(), handle)
			if err == nil {
				err = c.Destroy(t.Context())
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	w.Close()
	before.compare(t)
	left, err := filepath.Glob(filepath.Join(dir, "network", "*", "10.*"))
	if err != nil || len(left) > 0 {
		t.Errorf("addresses are left: %v (%v)", left, err)
	}
	awaitNoLinks(t)
}

// addressOf makes a container that stays, and gives the address that it has for a way out.
func addressOf(ctx context.Context, w *runc.Worker, handle string) (string, error) {
	c, err := w.FindOrCreateContainer(ctx, runtime.ContainerSpec{Handle: handle, Dir: "/work", Image: runtime.ImageSpec{Host: true}})
	if err != nil {
		return "", err
	}
	p, err := c.Run(ctx, runtime.ProcessSpec{ID: "task", Path: "sh", Args: []string{"-ec",
		"ip -4 -o addr show scope global | sed 's/.* inet //; s/ .*//'; ip route get 192.0.2.1 >&2; grep ^nameserver /etc/resolv.conf >&2"}})
	if err != nil {
		return "", err
	}
	status, err := p.Wait(ctx)
	if err != nil {
		return "", err
	}
	r, err := p.Output(ctx, 0)
	if err != nil {
		return "", err
	}
	defer r.Close()
	var address, rest strings.Builder
	for {
		chunk, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", err
		}
		if chunk.Stream == runtime.Stdout {
			address.Write(chunk.Data)
		} else {
			rest.Write(chunk.Data)
		}
	}
	if status.Code != 0 || !strings.Contains(rest.String(), "via 10.213.0.1 ") || !strings.HasPrefix(address.String(), "10.213.") {
		return "", fmt.Errorf("container %s has ended with %d; its address is %q, its way out and name server %q", handle, status.Code, address.String(), rest.String())
	}
	return address.String(), nil
}

// awaitNoLinks waits for the kernel to take down the links of namespaces that have
// ended, of which it gives no sign.
func awaitNoLinks(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		links, err := exec.Command("ip", "-o", "link").CombinedOutput()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(links), "veth") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("links are left: %s", links)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestBridgeNeedsPlugins(t *testing.T) {
	_, err := runc.New(t.Context(), runc.Options{
		StateDir: filepath.Join(t.TempDir(), "state"), Agent: agentProgram,
		Network: runc.NetworkBridge, Bridge: network.Options{PluginDirs: []string{t.TempDir()}},
	})
	if err == nil || !strings.Contains(err.Error(), "--network=host") {
		t.Errorf("error %v, want one that says what to do", err)
	}
}
