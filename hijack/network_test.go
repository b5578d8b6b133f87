package hijack

import (
	"net"
	"sync"
	"testing"
)

// network is what lies between a client and a server: a proxy of TCP that can be
// cut, and that can go silent as one does whose cable was pulled.
type network struct {
	t        *testing.T
	listener net.Listener
	target   string
	running  sync.WaitGroup

	mu      sync.Mutex
	down    bool
	pairs   map[*pair]bool
	dialled int
}

// pair is a connection, in two halves.
type pair struct {
	client, server net.Conn
	muted          chan struct{} // nil, or closed when packets go through again
}

func newNetwork(t *testing.T, target string) *network {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &network{t: t, listener: listener, target: target, pairs: map[*pair]bool{}}
	n.running.Go(n.accept)
	t.Cleanup(func() {
		n.restore()
		listener.Close()
		n.unplug()
		n.running.Wait()
	})
	return n
}

func (n *network) url() string { return "http://" + n.listener.Addr().String() }

func (n *network) accept() {
	for {
		client, err := n.listener.Accept()
		if err != nil {
			return
		}
		n.running.Go(func() { n.join(client) })
	}
}

func (n *network) join(client net.Conn) {
	server, err := net.Dial("tcp", n.target)
	if err != nil {
		client.Close()
		return
	}
	p := &pair{client: client, server: server}
	n.mu.Lock()
	if n.down {
		n.mu.Unlock()
		client.Close()
		server.Close()
		return
	}
	n.pairs[p] = true
	n.dialled++
	n.mu.Unlock()
	n.running.Go(func() { n.copy(p, client, server) })
	n.copy(p, server, client)
	n.mu.Lock()
	delete(n.pairs, p)
	n.mu.Unlock()
}

// copy passes packets on; while they are muted they stay where they are.
func (n *network) copy(p *pair, to, from net.Conn) {
	buffer := make([]byte, 16<<10)
	for {
		read, err := from.Read(buffer)
		n.await(p)
		if _, writeErr := to.Write(buffer[:read]); err == nil {
			err = writeErr
		}
		if err != nil {
			break
		}
	}
	p.client.Close()
	p.server.Close()
}

// await waits until packets of a connection go through.
func (n *network) await(p *pair) {
	n.mu.Lock()
	muted := p.muted
	n.mu.Unlock()
	if muted != nil {
		<-muted
	}
}

// cut ends all connections.
func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for p := range n.pairs {
		p.client.Close()
		p.server.Close()
	}
}

// unplug ends all connections, and takes no others until restore.
func (n *network) unplug() {
	n.mu.Lock()
	n.down = true
	n.mu.Unlock()
	n.cut()
}

// mute keeps the packets of the connections that there are, without a word to
// anybody, until restore. Other connections can be made.
func (n *network) mute() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for p := range n.pairs {
		if p.muted == nil {
			p.muted = make(chan struct{})
		}
	}
}

func (n *network) restore() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = false
	for p := range n.pairs {
		if p.muted != nil {
			close(p.muted)
			p.muted = nil
		}
	}
}

// connections says how many there have been.
func (n *network) connections() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dialled
}
