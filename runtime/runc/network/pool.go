// Package network gives containers a network of their own: network namespaces on
// a bridge of this machine, with addresses from a private subnet and NAT to the
// world, made in advance so that a container need not wait for one.
//
// From its namespace a container reaches the world, and of this machine nothing
// but the name server that package network runs where it must. It does not reach
// other containers, nor addresses that Options.Deny has. The package needs the CNI
// plugins bridge, host-local and loopback and the program nft; it knows nothing of
// containers.
package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/go-cni"
	"github.com/sasha-s/go-deadlock"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"midge/trace"
)

// go-cni guards itself with a lock that ends the process when it believes that it
// sees a deadlock, which it does where there is none: it takes all goroutines for one.
func init() { deadlock.Opts.Disable = true }

// Options are settings of a Pool.
type Options struct {
	// Bridge names the bridge, which the pool makes. It also names the network in
	// CNI's state and the tables of nft. For OpenAny it is what the name begins with.
	Bridge string
	// Subnet is where addresses come from; its first is the machine's own.
	Subnet netip.Prefix
	// Deny are addresses of the world that containers do not reach.
	Deny []netip.Prefix
	// PluginDirs are where the CNI plugins are.
	PluginDirs []string
	// StateDir is where the addresses given out are noted.
	StateDir string
	// Ready is how many namespaces are kept made in advance.
	Ready int
	// ResolvConf is the machine's list of name servers, as resolv.conf(5) has it.
	ResolvConf string
}

// Defaults are what a server uses when it is told nothing else. The denied
// addresses are those at which clouds tell a machine about itself.
var Defaults = Options{
	Bridge: "midge",
	Subnet: netip.MustParsePrefix("10.213.0.0/16"),
	Deny: []netip.Prefix{
		netip.MustParsePrefix("169.254.0.0/16"),
	},
	PluginDirs: []string{"/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"},
	Ready:      4,
	ResolvConf: "/etc/resolv.conf",
}

// MissingError tells that the machine lacks something that the bridge needs.
type MissingError struct{ What string }

func (e *MissingError) Error() string {
	return e.What + " is missing: install containernetworking-plugins and nftables"
}

// Pool gives out network namespaces. It may be used from many goroutines, and by
// one process at a time.
type Pool struct {
	options Options
	claimed io.Closer
	cni     cni.CNI
	names   *nameServer // nil where containers can ask the machine's own name servers

	ready   chan *Namespace
	filling context.Context // until Close
	cancel  context.CancelFunc
	filled  sync.WaitGroup
}

// Open makes the bridge's rules. What the machine lacks is a *MissingError, and a bridge
// that is somebody else's an *InUseError. Close undoes it.
func Open(ctx context.Context, options Options) (_ *Pool, err error) {
	if err := check(options); err != nil {
		return nil, err
	}
	claimed, err := options.claim()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, claimed.Close())
		}
	}()
	config, err := options.conflist()
	if err != nil {
		return nil, err
	}
	library, err := cni.New(cni.WithMinNetworkCount(2), cni.WithInterfacePrefix("eth"),
		cni.WithPluginDir(options.PluginDirs), cni.WithLoNetwork, cni.WithConfListBytes(config))
	if err != nil {
		return nil, fmt.Errorf("open network: %w", err)
	}
	if err := options.install(ctx); err != nil {
		return nil, fmt.Errorf("open network: %w", err)
	}
	p := &Pool{options: options, claimed: claimed, cni: library, ready: make(chan *Namespace, options.Ready)}
	if err := p.startNameServer(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open network: %w", err), options.uninstall())
	}
	p.filling, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return p, nil
}

func check(options Options) error {
	if _, err := exec.LookPath("nft"); err != nil {
		return &MissingError{"the program nft"}
	}
	for _, plugin := range []string{"bridge", "host-local", "loopback"} {
		if !options.hasPlugin(plugin) {
			return &MissingError{fmt.Sprintf("the CNI plugin %s (in %s)", plugin, strings.Join(options.PluginDirs, ", "))}
		}
	}
	return nil
}

func (o Options) hasPlugin(name string) bool {
	for _, dir := range o.PluginDirs {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().IsRegular() {
			return true
		}
	}
	return false
}

// gateway is the machine's own address on the bridge.
func (o Options) gateway() netip.Addr { return o.Subnet.Masked().Addr().Next() }

// conflist is what CNI's plugins are told, as the CNI specification 1.0.0 has it.
func (o Options) conflist() ([]byte, error) {
	return json.Marshal(map[string]any{
		"cniVersion": "1.0.0",
		"name":       o.Bridge,
		"plugins": []any{map[string]any{
			"type":      "bridge",
			"bridge":    o.Bridge,
			"isGateway": true,
			"ipam": map[string]any{
				"type":    "host-local",
				"dataDir": o.StateDir,
				"ranges":  []any{[]any{map[string]any{"subnet": o.Subnet.String()}}},
				"routes":  []any{map[string]any{"dst": "0.0.0.0/0"}},
			},
		}},
	})
}

// Fill begins to make namespaces in advance. It is called once at most; without it each
// Take makes its own.
func (p *Pool) Fill() {
	if p.options.Ready > 0 {
		p.filled.Go(func() { p.fill(p.filling) })
	}
}

// fill keeps the pool full until ctx ends.
func (p *Pool) fill(ctx context.Context) {
	for {
		namespace, err := p.make(ctx)
		if err != nil {
			// Take tries by itself and tells its caller what is wrong.
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
			continue
		}
		select {
		case p.ready <- namespace:
		case <-ctx.Done():
			namespace.Release(context.WithoutCancel(ctx))
			return
		}
	}
}

// Take gives a namespace that nobody else has.
func (p *Pool) Take(ctx context.Context) (_ *Namespace, err error) {
	ctx, span := trace.StartSpan(ctx, "take network namespace")
	defer func() { span.End(err) }()
	select {
	case namespace, open := <-p.ready:
		if open {
			span.Set(trace.Reason("one was ready"))
			return namespace, nil
		}
	default:
	}
	return p.make(ctx)
}

// Collect gives back the addresses of namespaces that ended without Release or Free,
// because the process that had them did: all but those whose ids inUse gives. It says
// how many they were. An id must be among those in use before its namespace is left.
func (p *Pool) Collect(ctx context.Context, inUse func() (map[string]bool, error)) (int, error) {
	ids, err := p.options.noted()
	if err != nil {
		return 0, fmt.Errorf("collect network addresses: %w", err)
	}
	// What is in neither is of nobody: it was not left after it was noted.
	ids = slices.DeleteFunc(ids, namespaces.has)
	if len(ids) == 0 {
		return 0, nil
	}
	used, err := inUse()
	if err != nil {
		return 0, fmt.Errorf("collect network addresses: %w", err)
	}
	collected := 0
	var failed error
	for _, id := range ids {
		if used[id] {
			continue
		}
		if err := p.cni.Remove(ctx, id, ""); err != nil {
			failed = errors.Join(failed, fmt.Errorf("collect network address of %s: %w", id, err))
			continue
		}
		collected++
	}
	return collected, failed
}

// noted gives the ids to which addresses are noted as given. host-local keeps a
// file for each address, with the id on its first line. One without an id was left
// by a plugin that was killed before it wrote that, and is removed.
func (o Options) noted() ([]string, error) {
	unlock, err := o.lockNotes()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer unlock()
	files, err := os.ReadDir(filepath.Join(o.StateDir, o.Bridge))
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, file := range files {
		if _, err := netip.ParseAddr(file.Name()); err != nil {
			continue // its lock, and the address given last
		}
		name := filepath.Join(o.StateDir, o.Bridge, file.Name())
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		first, _, _ := strings.Cut(string(text), "\n")
		id := strings.TrimSpace(first)
		if id == "" {
			if err := os.Remove(name); err != nil {
				return nil, err
			}
			continue
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// lockNotes has no plugin note an address, or strike one out, until unlock is called: by
// the lock that host-local takes itself.
func (o Options) lockNotes() (unlock func() error, err error) {
	file, err := os.OpenFile(filepath.Join(o.StateDir, o.Bridge, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(os.NewSyscallError("flock", err), file.Close())
	}
	return file.Close, nil
}

// Close ends the making of namespaces and releases those that nobody took. Those
// given out stay as they are, and so do the bridge and its rules while there are any.
func (p *Pool) Close() (failed error) {
	p.cancel()
	p.filled.Wait()
	defer func() { failed = errors.Join(failed, p.claimed.Close()) }()
	close(p.ready)
	var releases errgroup.Group
	for namespace := range p.ready {
		releases.Go(func() error { return namespace.Release(context.Background()) })
	}
	failed = releases.Wait()
	if p.names != nil {
		failed = errors.Join(failed, p.names.Close())
	}
	ids, err := p.options.noted()
	if err != nil || len(ids) > 0 {
		return errors.Join(failed, err)
	}
	return errors.Join(failed, p.options.uninstall(), os.RemoveAll(filepath.Join(p.options.StateDir, p.options.Bridge)))
}
