package runc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"midge/runtime"
	"midge/runtime/runc/network"
)

// Network is how containers reach the network.
type Network string

const (
	// NetworkBridge gives each container a network of its own, on a bridge with NAT.
	NetworkBridge Network = "bridge"
	// NetworkHost shares the machine's network.
	NetworkHost Network = "host"
	// NetworkNone has loopback alone.
	NetworkNone Network = "none"
)

// networkOf is what a container has.
func (w *Worker) networkOf(spec runtime.ContainerSpec) Network {
	if spec.Hermetic {
		return NetworkNone
	}
	return w.options.Network
}

// BridgeError tells that this machine cannot have the bridge network.
type BridgeError struct{ Err error }

func (e *BridgeError) Error() string {
	return fmt.Sprintf("the bridge network of containers cannot be had: %v; or give them another: --network=host has them share this machine's, --network=none have none", e.Err)
}

func (e *BridgeError) Unwrap() error { return e.Err }

// openBridge makes the bridge. Addresses that a killed server has left are no hurry:
// RemoveLeftovers gives them back.
func (w *Worker) openBridge(ctx context.Context) (err error) {
	options := w.options.Bridge
	if options.StateDir == "" {
		options.StateDir = w.path("network")
	}
	if w.bridge, err = network.OpenAny(ctx, options); err != nil {
		return &BridgeError{err}
	}
	return nil
}

// closeBridge lets go of the bridge, which goes when no container has an address on it.
func (w *Worker) closeBridge() error {
	_, err := w.removeAddresses(context.Background())
	return errors.Join(err, w.bridge.Close())
}

// networksInUse gives the ids of the containers' networks.
func (w *Worker) networksInUse() (map[string]bool, error) {
	records, err := w.records()
	if err != nil {
		return nil, err
	}
	inUse := make(map[string]bool, len(records))
	for _, r := range records {
		inUse[r.Network] = true
	}
	return inUse, nil
}

// takeNetwork gives the network namespace of a container on the bridge, nil for any other.
func (w *Worker) takeNetwork(ctx context.Context, spec runtime.ContainerSpec) (*network.Namespace, error) {
	if w.networkOf(spec) != NetworkBridge {
		return nil, nil
	}
	return w.bridge.Take(ctx)
}

// releaseNetwork gives back the namespace, if there is one, of a container that is none.
func releaseNetwork(ctx context.Context, namespace *network.Namespace) error {
	if namespace == nil {
		return nil
	}
	return namespace.Release(context.WithoutCancel(ctx))
}

// freeNetwork gives back the address of a container that is down.
func (w *Worker) freeNetwork(ctx context.Context, r containerRecord) error {
	if r.Network == "" || w.bridge == nil {
		return nil
	}
	return w.bridge.Free(ctx, r.Network)
}

// resolvConf is a container's list of name servers: the machine's, or those that its
// namespace can ask.
func resolvConf(namespace *network.Namespace) ([]byte, error) {
	own, err := os.ReadFile("/etc/resolv.conf")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if namespace == nil {
		return own, nil
	}
	var all bytes.Buffer
	for line := range bytes.Lines(own) {
		if !bytes.HasPrefix(bytes.TrimSpace(line), []byte("nameserver")) {
			all.Write(bytes.TrimSuffix(line, []byte("\n")))
			all.WriteByte('\n')
		}
	}
	for _, server := range namespace.NameServers {
		fmt.Fprintf(&all, "nameserver %s\n", server)
	}
	return all.Bytes(), nil
}
