package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// The tests run in a network and mount namespace of their own: a machine with an
// address in a network where another host is the world.
const inside = "MIDGE_NETWORK_TEST_INSIDE"

func TestMain(m *testing.M) {
	if os.Getenv(inside) == "" {
		cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
		cmd.Env = append(os.Environ(), inside+"=1")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
		err := cmd.Run()
		if cmd.ProcessState == nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(cmd.ProcessState.ExitCode())
	}
	// /sys shows the network of whoever mounted it: a fuzzer, for the processes that it starts.
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
		fmt.Fprintln(os.Stderr, "mount /sys:", err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

const (
	machineAddress  = "198.51.100.1"
	worldAddress    = "198.51.100.2"
	metadataAddress = "169.254.169.254"
)

// world is the other host; the file is its namespace.
func newWorld(t *testing.T) *os.File {
	t.Helper()
	file, err := newNamespace()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	// ip wants a process in the namespace, so it gets one for as long as it takes.
	script := fmt.Sprintf(`set -e
ip link set lo up
ip link add world0 type veth peer name world1 netns "$1"
ip addr add %s/24 dev world0
ip link set world0 up
ip route add %s/32 dev world0
nsenter --net="$1" sh -ec '
ip link set lo up
ip addr add %s/24 dev world1
ip addr add %s/32 dev world1
ip link set world1 up'`, machineAddress, metadataAddress, worldAddress, metadataAddress)
	cmd := exec.Command("sh", "-c", script, "sh", "/proc/self/fd/3")
	cmd.ExtraFiles = []*os.File{file}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make the world: %v\n%s", err, out)
	}
	t.Cleanup(func() { exec.Command("ip", "link", "delete", "world0").Run() })
	return file
}

// in calls do on a thread in the namespace, and gives what do gives.
func in[T any](namespace *os.File, do func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- result{err: os.NewSyscallError("setns", err)}
			return
		}
		value, err := do()
		done <- result{value, err}
	}()
	r := <-done
	return r.value, r.err
}

// serve answers connections in a namespace (nil: the machine's) with the address they come from.
func serve(t *testing.T, namespace *os.File, address string) {
	t.Helper()
	listen := func() (net.Listener, error) { return net.Listen("tcp", address) }
	var (
		listener net.Listener
		err      error
	)
	if namespace == nil {
		listener, err = listen()
	} else {
		listener, err = in(namespace, listen)
	}
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			host, _, _ := net.SplitHostPort(connection.RemoteAddr().String())
			io.WriteString(connection, host)
			connection.Close()
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
	})
}

// ask connects from a namespace and gives the answer.
func ask(namespace *os.File, address string, patience time.Duration) (string, error) {
	return in(namespace, func() (string, error) {
		connection, err := net.DialTimeout("tcp", address, patience)
		if err != nil {
			return "", err
		}
		defer connection.Close()
		answer, err := io.ReadAll(connection)
		return string(answer), err
	})
}

// short is how long a connection is tried that the rules drop.
const short = 500 * time.Millisecond

const long = 30 * time.Second

func testOptions(t *testing.T) Options {
	options := Defaults
	options.Bridge = "midgetest0"
	options.StateDir = filepath.Join(t.TempDir(), "cni")
	options.Ready = 2
	options.ResolvConf = filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(options.ResolvConf, []byte("nameserver "+worldAddress+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return options
}

func openPool(t *testing.T, options Options) *Pool {
	t.Helper()
	pool, err := Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	pool.Fill()
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
		wantNothingLeft(t, options)
	})
	return pool
}

func wantNothingLeft(t *testing.T, options Options) {
	t.Helper()
	if _, err := os.Stat("/sys/class/net/" + options.Bridge); err == nil {
		t.Errorf("the bridge %s is left", options.Bridge)
	}
	for _, command := range []string{"nft list ruleset", "iptables -S"} {
		out, err := exec.Command("sh", "-c", command).CombinedOutput()
		if err != nil || strings.Contains(string(out), options.Bridge) {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
	}
	if ids, err := options.noted(); err != nil || len(ids) > 0 {
		t.Errorf("addresses are left: %v, %v", ids, err)
	}
}

func take(t *testing.T, pool *Pool) *Namespace {
	t.Helper()
	namespace, err := pool.Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := namespace.Release(context.Background()); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	})
	return namespace
}

func TestReach(t *testing.T) {
	world := newWorld(t)
	serve(t, world, worldAddress+":80")
	serve(t, world, metadataAddress+":80")
	pool := openPool(t, testOptions(t))
	one, other := take(t, pool), take(t, pool)
	serve(t, nil, ":8080")
	serve(t, other.File, other.Address.String()+":80")

	if got, err := ask(one.File, worldAddress+":80", long); err != nil || got != machineAddress {
		t.Errorf("the world saw %q, %v; want the machine's address %s", got, err, machineAddress)
	}
	gateway := pool.options.gateway().String()
	link := linkLocal(t, pool.options.Bridge)
	awaitLinkLocal(t, one)
	for what, address := range map[string]string{
		"the machine, by the gateway":     gateway + ":8080",
		"the machine, by its own address": machineAddress + ":8080",
		"the machine, by its link":        net.JoinHostPort(link+"%2", "8080"), // eth1
		"another container":               other.Address.String() + ":80",
		"the metadata address":            metadataAddress + ":80",
	} {
		if got, err := ask(one.File, address, short); err == nil {
			t.Errorf("%s was reached and answered %q", what, got)
		}
	}
	if got := one.NameServers; len(got) != 1 || got[0].String() != worldAddress {
		t.Errorf("name servers %v, want the machine's %s", got, worldAddress)
	}
}

// linkLocal gives the IPv6 address that an interface has by itself.
func linkLocal(t *testing.T, name string) string {
	t.Helper()
	link, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	addresses, err := link.Addrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range addresses {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil && prefix.Addr().Is6() {
			return prefix.Addr().String()
		}
	}
	t.Fatalf("%s has no IPv6 address: %v", name, addresses)
	return ""
}

// awaitLinkLocal waits until the machine and a namespace may use the IPv6 addresses
// that their links have by themselves, which the kernel makes sure of first.
func awaitLinkLocal(t *testing.T, namespace *Namespace) {
	t.Helper()
	deadline := time.Now().Add(long)
	for {
		var tentative []byte
		for _, prefix := range []string{"", "nsenter --net=/proc/self/fd/3 "} {
			cmd := exec.Command("sh", "-c", prefix+"ip -6 -o addr show tentative")
			cmd.ExtraFiles = []*os.File{namespace.File}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			tentative = append(tentative, out...)
		}
		if len(tentative) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("addresses stay tentative: %s", tentative)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Each Take gives another namespace, more than were made in advance too.
func TestTake(t *testing.T) {
	newWorld(t)
	pool := openPool(t, testOptions(t))
	seen := make(map[netip.Addr]bool)
	for range 5 {
		namespace := take(t, pool)
		if seen[namespace.Address] {
			t.Errorf("%s was given twice", namespace.Address)
		}
		seen[namespace.Address] = true
	}
}

// An address whose process ended without giving it back is given back by Collect,
// but not one in use.
func TestCollect(t *testing.T) {
	newWorld(t)
	options := testOptions(t)
	options.Ready = 0
	pool := openPool(t, options)
	lost, used := take(t, pool), take(t, pool)
	held, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", used.File.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	for _, namespace := range []*Namespace{lost, used} {
		if err := namespace.Leave(); err != nil {
			t.Fatal(err)
		}
	}
	inUse := func() (map[string]bool, error) { return map[string]bool{used.ID: true}, nil }
	if n, err := pool.Collect(t.Context(), inUse); err != nil || n != 1 {
		t.Fatalf("it gave back %d addresses (%v), want 1", n, err)
	}
	if ids, err := options.noted(); err != nil || len(ids) != 1 || ids[0] != used.ID {
		t.Errorf("noted %v, %v; want %s alone", ids, err, used.ID)
	}
	if err := pool.Free(t.Context(), used.ID); err != nil {
		t.Fatal(err)
	}
}

// An address that is being given out has a file with nothing in it for a moment, which is
// not looked into; and one that a killed plugin has left so is given back.
func TestAddressesThatAreBeingNoted(t *testing.T) {
	newWorld(t)
	options := testOptions(t)
	options.Ready = 0
	pool := openPool(t, options)
	take(t, pool) // which makes the directory
	half := filepath.Join(options.StateDir, options.Bridge, options.gateway().Next().Next().Next().String())
	if err := os.WriteFile(half, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	inUse := func() (map[string]bool, error) { return nil, nil }
	if n, err := pool.Collect(t.Context(), inUse); err != nil || n != 0 {
		t.Errorf("it gave back %d addresses (%v), want none of those that are known", n, err)
	}
	if _, err := os.Lstat(half); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the address that nobody has is still noted (%v)", err)
	}
	unlock, err := options.lockNotes()
	if err != nil {
		t.Fatal(err)
	}
	taken := make(chan error, 1)
	go func() {
		namespace, err := pool.Take(context.Background())
		if err == nil {
			err = namespace.Release(context.Background())
		}
		taken <- err
	}()
	for !awaitsLock(t, filepath.Join(options.StateDir, options.Bridge, "lock")) {
		select {
		case err := <-taken:
			t.Fatalf("an address was noted while the notes were locked (%v)", err)
		case <-time.After(time.Millisecond):
		}
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if err := <-taken; err != nil {
		t.Error(err)
	}
}

// awaitsLock tells whether a process waits for the lock of a file.
func awaitsLock(t *testing.T, path string) bool {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		t.Fatal(err)
	}
	inode := fmt.Sprintf(":%d ", info.Sys().(*syscall.Stat_t).Ino)
	for line := range strings.Lines(string(locks)) {
		if strings.Contains(line, "->") && strings.Contains(line, inode) {
			return true
		}
	}
	return false
}

// Where the machine's name server listens on its loopback, containers ask it through the gateway.
func TestNameServerOnLoopback(t *testing.T) {
	newWorld(t)
	options := testOptions(t)
	if err := os.WriteFile(options.ResolvConf, []byte("# local\nnameserver 127.0.0.53\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	upstream, err := net.ListenPacket("udp", "127.0.0.53:53")
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		buffer := make([]byte, 512)
		for {
			n, from, err := upstream.ReadFrom(buffer)
			if err != nil {
				return
			}
			upstream.WriteTo(append([]byte("answer to "), buffer[:n]...), from)
		}
	}()
	defer func() { upstream.Close(); <-answered }()
	serve(t, nil, "127.0.0.53:53")

	pool := openPool(t, options)
	namespace := take(t, pool)
	if got := namespace.NameServers; len(got) != 1 || got[0] != options.gateway() {
		t.Fatalf("name servers %v, want the gateway", got)
	}
	address := net.JoinHostPort(options.gateway().String(), "53")
	got, err := in(namespace.File, func() (string, error) {
		connection, err := net.Dial("udp", address)
		if err != nil {
			return "", err
		}
		defer connection.Close()
		if err := connection.SetDeadline(time.Now().Add(long)); err != nil {
			return "", err
		}
		if _, err := io.WriteString(connection, "question"); err != nil {
			return "", err
		}
		buffer := make([]byte, 512)
		n, err := connection.Read(buffer)
		return string(buffer[:n]), err
	})
	if err != nil || got != "answer to question" {
		t.Errorf("over UDP: %q, %v", got, err)
	}
	if got, err := ask(namespace.File, address, long); err != nil || got != "127.0.0.1" {
		t.Errorf("over TCP: %q, %v", got, err)
	}
}

func TestMissingPlugins(t *testing.T) {
	options := testOptions(t)
	options.PluginDirs = []string{t.TempDir()}
	_, err := Open(t.Context(), options)
	var missing *MissingError
	if !errors.As(err, &missing) || !strings.Contains(err.Error(), "containernetworking-plugins") {
		t.Errorf("error %v, want one that says what to install", err)
	}
	wantNothingLeft(t, options)
}
