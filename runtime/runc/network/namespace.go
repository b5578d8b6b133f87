package network

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/containerd/go-cni"
	"golang.org/x/sys/unix"

	"midge/agent/thread"
)

// Namespace is a network namespace with an address on the bridge. It lives as long
// as a process in it, or a file that is open on it.
type Namespace struct {
	// ID names the namespace for Pool.Collect.
	ID string
	// Address is its own on the bridge.
	Address netip.Addr
	// NameServers are what to write into its resolv.conf.
	NameServers []netip.Addr
	// File is open on the namespace, until Release or Leave.
	File *os.File

	pool *Pool
}

// namespaces are the ids that this process has made and not given up.
var namespaces idSet

type idSet struct {
	mu  sync.Mutex
	ids map[string]bool
}

func (s *idSet) add(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ids == nil {
		s.ids = make(map[string]bool)
	}
	s.ids[id] = true
}

func (s *idSet) remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.ids, id)
}

func (s *idSet) has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ids[id]
}

// Path is where another program finds the namespace while File is open.
func (n *Namespace) Path() string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.File.Fd())
}

// make makes a namespace and connects it.
func (p *Pool) make(ctx context.Context) (_ *Namespace, err error) {
	file, err := newNamespace()
	if err != nil {
		return nil, fmt.Errorf("make network namespace: %w", err)
	}
	n := &Namespace{ID: "midge-" + strings.ToLower(rand.Text()), File: file, pool: p}
	namespaces.add(n.ID)
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Release(context.WithoutCancel(ctx)))
		}
	}()
	result, err := p.cni.Setup(ctx, n.ID, n.Path())
	if err != nil {
		return nil, fmt.Errorf("connect network namespace: %w", err)
	}
	if err := n.read(result); err != nil {
		return nil, fmt.Errorf("connect network namespace: %w", err)
	}
	if n.NameServers, err = p.nameServers(); err != nil {
		return nil, err
	}
	return n, nil
}

// read takes the address out of what the plugins did, and shuts the namespace's
// port of the bridge off from the other ports.
func (n *Namespace) read(result *cni.Result) error {
	for name, config := range result.Interfaces {
		if config.Sandbox == "" && strings.HasPrefix(name, "veth") {
			isolated := filepath.Join("/sys/class/net", name, "brport/isolated")
			if err := os.WriteFile(isolated, []byte("1"), 0); err != nil {
				return fmt.Errorf("isolate %s: %w", name, err)
			}
		}
		for _, ip := range config.IPConfigs {
			address, ok := netip.AddrFromSlice(ip.IP)
			if ok && n.pool.options.Subnet.Contains(address.Unmap()) {
				n.Address = address.Unmap()
			}
		}
	}
	if !n.Address.IsValid() {
		return errors.New("the plugins gave no address")
	}
	return nil
}

// Leave closes File, when the namespace belongs to a container's processes and
// whoever supervises them, who calls Pool.Free with the ID in the end.
func (n *Namespace) Leave() error {
	namespaces.remove(n.ID)
	return n.File.Close()
}

// Release disconnects the namespace and closes File.
func (n *Namespace) Release(ctx context.Context) error {
	err := n.pool.cni.Remove(ctx, n.ID, n.Path())
	return errors.Join(err, n.Leave())
}

// Free gives the address of a namespace back that was left and has ended since.
func (p *Pool) Free(ctx context.Context, id string) error {
	if err := p.cni.Remove(ctx, id, ""); err != nil {
		return fmt.Errorf("free network address of %s: %w", id, err)
	}
	return nil
}

// newNamespace gives a new network namespace, open.
func newNamespace() (*os.File, error) {
	var file *os.File
	err := thread.Run(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		file, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	return file, err
}
