package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

// A machine whose name server listens on its own loopback, as systemd-resolved
// does, has none that a container could ask. For it the pool forwards questions
// from the gateway's address, unread, over UDP and TCP.
type nameServer struct {
	upstream string
	packets  net.PacketConn
	listener net.Listener
	ctx      context.Context
	cancel   context.CancelFunc
	running  sync.WaitGroup
	// asked bounds how many questions are under way.
	asked chan struct{}
}

// answerTime is how long an answer may take; resolvers ask again after 5 s.
const answerTime = 10 * time.Second

// startNameServer starts the forwarder where containers need one.
func (p *Pool) startNameServer(ctx context.Context) error {
	servers, err := readNameServers(p.options.ResolvConf)
	if err != nil {
		return err
	}
	var local netip.Addr
	for _, server := range servers {
		if !server.IsLoopback() {
			return nil
		}
		if !local.IsValid() {
			local = server
		}
	}
	if !local.IsValid() {
		local = netip.MustParseAddr("127.0.0.1") // what resolv.conf(5) says of an empty list
	}
	// The gateway's address is there once the first namespace has made the bridge.
	first, err := p.make(ctx)
	if err != nil {
		return err
	}
	defer first.Release(context.WithoutCancel(ctx))
	p.names, err = newNameServer(ctx, p.options.gateway(), netip.AddrPortFrom(local, 53))
	return err
}

// nameServers are those to tell a container.
func (p *Pool) nameServers() ([]netip.Addr, error) {
	if p.names != nil {
		return []netip.Addr{p.options.gateway()}, nil
	}
	servers, err := readNameServers(p.options.ResolvConf)
	if err != nil {
		return nil, err
	}
	var reachable []netip.Addr
	for _, server := range servers {
		if !server.IsLoopback() {
			reachable = append(reachable, server)
		}
	}
	return reachable, nil
}

// readNameServers reads the nameserver lines of a file like resolv.conf(5).
func readNameServers(file string) ([]netip.Addr, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the machine's name servers: %w", err)
	}
	return parseNameServers(string(text)), nil
}

// parseNameServers gives the addresses in such lines; what is none is passed over, as
// resolvers do.
func parseNameServers(text string) []netip.Addr {
	var servers []netip.Addr
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if server, err := netip.ParseAddr(fields[1]); err == nil {
			servers = append(servers, server)
		}
	}
	return servers
}

func newNameServer(ctx context.Context, address netip.Addr, upstream netip.AddrPort) (*nameServer, error) {
	listen := netip.AddrPortFrom(address, 53).String()
	packets, err := net.ListenPacket("udp", listen)
	if err != nil {
		return nil, fmt.Errorf("serve names to containers: %w", err)
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("serve names to containers: %w", err), packets.Close())
	}
	s := &nameServer{upstream: upstream.String(), packets: packets, listener: listener, asked: make(chan struct{}, 256)}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.running.Go(s.servePackets)
	s.running.Go(s.serveConnections)
	return s, nil
}

// Close ends the forwarding and waits for what is under way.
func (s *nameServer) Close() error {
	s.cancel()
	err := errors.Join(s.packets.Close(), s.listener.Close())
	s.running.Wait()
	return err
}

func (s *nameServer) servePackets() {
	buffer := make([]byte, 1<<16)
	for {
		n, from, err := s.packets.ReadFrom(buffer)
		if err != nil {
			return
		}
		question := append([]byte(nil), buffer[:n]...)
		if !s.begin() {
			continue // the resolver asks again
		}
		s.running.Go(func() {
			defer s.end()
			if answer, err := s.ask(question); err == nil {
				s.packets.WriteTo(answer, from)
			}
		})
	}
}

func (s *nameServer) begin() bool {
	select {
	case s.asked <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s *nameServer) end() { <-s.asked }

// dial connects to the machine's own name server. The connection ends with the server.
func (s *nameServer) dial(network string) (net.Conn, func(), error) {
	ctx, cancel := context.WithTimeout(s.ctx, answerTime)
	connection, err := new(net.Dialer).DialContext(ctx, network, s.upstream)
	if err != nil {
		cancel()
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { connection.Close() })
	return connection, func() {
		stop()
		cancel()
		connection.Close()
	}, nil
}

func (s *nameServer) ask(question []byte) ([]byte, error) {
	connection, done, err := s.dial("udp")
	if err != nil {
		return nil, err
	}
	defer done()
	if _, err := connection.Write(question); err != nil {
		return nil, err
	}
	answer := make([]byte, 1<<16)
	n, err := connection.Read(answer)
	return answer[:n], err
}

func (s *nameServer) serveConnections() {
	for {
		client, err := s.listener.Accept()
		if err != nil {
			return
		}
		if !s.begin() {
			client.Close()
			continue
		}
		s.running.Go(func() {
			defer s.end()
			defer client.Close()
			server, done, err := s.dial("tcp")
			if err != nil {
				return
			}
			defer done()
			s.running.Go(func() { io.Copy(server, client) }) // ends when either is closed, as both are
			io.Copy(client, server)
		})
	}
}
