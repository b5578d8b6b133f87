package network

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// InUseError tells that somebody else has the bridge of that name, or its addresses.
type InUseError struct {
	Bridge string
	By     string // who
}

func (e *InUseError) Error() string {
	return fmt.Sprintf("the bridge %s cannot be used: %s", e.Bridge, e.By)
}

// parts is how many pools can share a subnet.
const parts = 16

// OpenAny opens a pool on a bridge that no other has on this machine: options has
// what the bridge's name begins with, and a subnet, of at most 24 bits, of which the
// pool takes a sixteenth. A pool that StateDir knows of keeps its bridge.
func OpenAny(ctx context.Context, options Options) (*Pool, error) {
	if !options.Subnet.Addr().Is4() || options.Subnet.Bits() > 24 {
		return nil, fmt.Errorf("the subnet %s of the bridge network is no IPv4 subnet of at most 24 bits, as 10.213.0.0/16 is", options.Subnet)
	}
	var inUse []string
	for _, candidate := range options.candidates() {
		pool, err := Open(ctx, candidate)
		if used := (*InUseError)(nil); errors.As(err, &used) {
			inUse = append(inUse, used.Error())
			continue
		}
		return pool, err
	}
	return nil, fmt.Errorf("all %d parts of the subnet %s of the bridge network are in use: %s", parts, options.Subnet, inUse[0])
}

// candidates are the options for each part of the subnet, those first that StateDir
// knows of.
func (o Options) candidates() []Options {
	var known, others []Options
	for i := range parts {
		part := o
		part.Bridge = fmt.Sprintf("%s%d", o.Bridge, i)
		part.Subnet = part.nth(i)
		part.Deny = append(slices.Clone(o.Deny), o.Subnet)
		if _, err := os.Stat(filepath.Join(o.StateDir, part.Bridge)); err == nil {
			known = append(known, part)
		} else {
			others = append(others, part)
		}
	}
	return append(known, others...)
}

// nth is a part of the subnet.
func (o Options) nth(i int) netip.Prefix {
	bits := o.Subnet.Bits() + 4
	addr := o.Subnet.Masked().Addr().As4()
	binary.BigEndian.PutUint32(addr[:], binary.BigEndian.Uint32(addr[:])+uint32(i)<<(32-bits))
	return netip.PrefixFrom(netip.AddrFrom4(addr), bits)
}

// claim makes the bridge the pool's alone until Close. An abstract socket is of the
// machine's network, as the bridge is, and goes with its process.
func (o Options) claim() (io.Closer, error) {
	socket, err := net.ListenPacket("unixgram", "@midge/bridge/"+o.Bridge)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, &InUseError{o.Bridge, "another server on this machine has it"}
	}
	if err != nil {
		return nil, fmt.Errorf("claim the bridge %s: %w", o.Bridge, err)
	}
	if err := o.checkAddresses(); err != nil {
		return nil, errors.Join(err, socket.Close())
	}
	return socket, nil
}

// checkAddresses looks whether the machine has an address of the subnet, or the
// subnet one of a network of the machine's, on anything but the bridge itself.
func (o Options) checkAddresses() error {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("list the machine's addresses: %w", err)
	}
	own := addressesOf(o.Bridge)
	for _, address := range all {
		prefix, err := netip.ParsePrefix(address.String())
		if err != nil || !prefix.Overlaps(o.Subnet) || own[address.String()] {
			continue
		}
		return &InUseError{o.Bridge, fmt.Sprintf("%s has addresses %s, which its subnet %s would hide", whoHas(address), prefix.Masked(), o.Subnet)}
	}
	return nil
}

// addressesOf gives the addresses of a network interface, none of one that is not there.
// Each look has the kernel list those of all.
func addressesOf(name string) map[string]bool {
	own := make(map[string]bool)
	link, err := net.InterfaceByName(name)
	if err != nil {
		return own
	}
	// It may have gone since.
	addresses, _ := link.Addrs()
	for _, address := range addresses {
		own[address.String()] = true
	}
	return own
}

// whoHas names the network interface with an address.
func whoHas(address net.Addr) string {
	links, _ := net.Interfaces()
	for _, link := range links {
		if addressesOf(link.Name)[address.String()] {
			return "the network interface " + link.Name
		}
	}
	return "a network interface"
}
