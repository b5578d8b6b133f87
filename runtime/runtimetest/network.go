package runtimetest

import (
	"context"
	"fmt"
	"sync"

	"midge/runtime"
)

// A Network connects workers in memory: those of one network stream straight to
// each other. The zero value is a network without traffic.
type Network struct {
	// Fail, when not nil, is asked before each stream; an error makes it fail.
	Fail func(address string) error

	mu        sync.Mutex
	last      int
	addresses map[string]receiver
	streams   int
}

// receiver is where a stream goes that comes to an address.
type receiver struct {
	volume *volume
	path   string
}

// Streams says how many streams went from worker to worker.
func (n *Network) Streams() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.streams
}

func (n *Network) open(ctx context.Context, to receiver) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last++
	address := fmt.Sprintf("memory:%d", n.last)
	if n.addresses == nil {
		n.addresses = map[string]receiver{}
	}
	n.addresses[address] = to
	context.AfterFunc(ctx, func() { n.take(address) })
	return address
}

// take gives where an address leads, once.
func (n *Network) take(address string) (receiver, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	to, ok := n.addresses[address]
	delete(n.addresses, address)
	return to, ok
}

func (n *Network) send(ctx context.Context, from *volume, path, address string) error {
	to, ok := n.take(address)
	if !ok {
		return fmt.Errorf("stream to %q: nobody listens there", address)
	}
	if n.Fail != nil {
		if err := n.Fail(address); err != nil {
			return fmt.Errorf("stream to %q: %w", address, err)
		}
	}
	n.mu.Lock()
	n.streams++
	n.mu.Unlock()
	stream, err := from.StreamOut(ctx, path)
	if err != nil {
		return err
	}
	defer stream.Close()
	return to.volume.StreamIn(ctx, to.path, stream)
}

// networkVolume is a volume of a worker on a network.
type networkVolume struct {
	*volume
	network *Network
}

var (
	_ runtime.P2PSource      = networkVolume{}
	_ runtime.P2PDestination = networkVolume{}
)

func (v networkVolume) StreamP2P(ctx context.Context, path, address string) error {
	return v.network.send(ctx, v.volume, path, address)
}

func (v networkVolume) P2PAddress(ctx context.Context, path string) (string, error) {
	if err := v.there(ctx); err != nil {
		return "", err
	}
	return v.network.open(ctx, receiver{v.volume, path}), nil
}
