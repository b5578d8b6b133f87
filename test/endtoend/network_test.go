package endtoend

import (
	"net"
	"strings"
	"testing"
)

const addresses = `ip -4 -o addr show scope global | sed 's/.* inet //; s/ .*//'`

// A container has an address of its own, and reaches neither the server nor
// another container.
func TestBridge(t *testing.T) {
	s := startServer(t)
	r := s.midge("execute", "-c", s.script("task", addresses, ""), "--quiet")
	r.want(t, 0)
	if !strings.HasPrefix(r.stdout, "10.213.") {
		t.Errorf("the container has the address %q", r.stdout)
	}
	s.midge("execute", "-c", s.script("names", "grep nameserver /etc/resolv.conf", "")).want(t, 0)

	// The gateway is an address of the machine's, where this listens.
	listener, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	connect := `gateway=$(ip route | sed -n 's/^default via \([0-9.]*\).*/\1/p'); echo "to $gateway"
perl -MIO::Socket::INET -e "print IO::Socket::INET->new(PeerAddr => '$gateway:` + port + `', Timeout => 1) ? qq(reached\n) : qq(shut out\n)"`
	s.midge("execute", "-c", s.script("connect", connect, "")).want(t, 0, "to 10.213.", "shut out")
}

func TestHermetic(t *testing.T) {
	s := startServer(t)
	r := s.midge("execute", "-c", s.script("task", "ip -o link show up | cut -d: -f2", ""), "--hermetic", "--quiet")
	r.want(t, 0)
	if r.stdout != " lo\n" {
		t.Errorf("the container has the links %q, want loopback alone", r.stdout)
	}
}

func TestNetworkOfTheMachine(t *testing.T) {
	s := startServer(t, "--network", "host")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	connect := `perl -MIO::Socket::INET -e 'IO::Socket::INET->new(PeerAddr => "` + listener.Addr().String() + `") or exit 1; print "reached\n"'`
	s.midge("execute", "-c", s.script("task", connect, "")).want(t, 0, "reached\n")
}
