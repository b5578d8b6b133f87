package network

import (
	"errors"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestParts(t *testing.T) {
	options := Options{Bridge: "b", Subnet: netip.MustParsePrefix("10.213.0.0/16")}
	all := options.candidates()
	if len(all) != 16 {
		t.Fatalf("there are %d parts", len(all))
	}
	for i, want := range map[int]string{0: "10.213.0.0/20", 1: "10.213.16.0/20", 15: "10.213.240.0/20"} {
		if got := all[i].Subnet.String(); got != want {
			t.Errorf("part %d is %s, want %s", i, got, want)
		}
	}
	options.Subnet = netip.MustParsePrefix("192.168.7.9/24")
	if got, want := options.candidates()[3].Subnet.String(), "192.168.7.48/28"; got != want {
		t.Errorf("part 3 is %s, want %s", got, want)
	}
}

func anyOptions(t *testing.T) Options {
	options := testOptions(t)
	options.Bridge, options.Ready = "midgetest", 1
	return options
}

// openAny opens a pool that leaves nothing at the end of the test.
func openAny(t *testing.T, options Options) *Pool {
	t.Helper()
	pool, err := OpenAny(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, pool)
	return pool
}

func closeAtEnd(t *testing.T, pool *Pool) {
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
		wantNothingLeft(t, pool.options)
	})
}

// Pools on one machine have bridges and addresses of their own, and so their containers.
func TestTwoPools(t *testing.T) {
	newWorld(t)
	a, b := openAny(t, anyOptions(t)), openAny(t, anyOptions(t))
	if a.options.Bridge == b.options.Bridge || a.options.Subnet.Overlaps(b.options.Subnet) {
		t.Fatalf("two pools have %s, %s and %s, %s", a.options.Bridge, a.options.Subnet, b.options.Bridge, b.options.Subnet)
	}
	one, other := take(t, a), take(t, b)
	serve(t, other.File, other.Address.String()+":80")
	if got, err := ask(one.File, other.Address.String()+":80", short); err == nil {
		t.Errorf("a container of another pool was reached and answered %q", got)
	}
	if _, err := Open(t.Context(), a.options); !errors.As(err, new(*InUseError)) {
		t.Errorf("opening a pool that is open: %v", err)
	}
}

// A pool that is opened again keeps its bridge, on which containers may be.
func TestPoolKeepsItsBridge(t *testing.T) {
	newWorld(t)
	other := anyOptions(t)
	first, err := OpenAny(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	options := anyOptions(t)
	pool, err := OpenAny(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	left := take(t, pool)
	if err := left.Leave(); err != nil {
		t.Fatal(err)
	}
	for _, pool := range []*Pool{first, pool} {
		if err := pool.Close(); err != nil {
			t.Fatal(err)
		}
	}
	again := openAny(t, options)
	if again.options.Bridge != pool.options.Bridge {
		t.Errorf("the pool was on %s and is on %s", pool.options.Bridge, again.options.Bridge)
	}
	if err := again.Free(t.Context(), left.ID); err != nil {
		t.Error(err)
	}
}

// A part whose addresses the machine has elsewhere is left alone.
func TestAddressesInUse(t *testing.T) {
	newWorld(t)
	options := anyOptions(t)
	occupy := func(address string) {
		t.Helper()
		if out, err := exec.Command("ip", "addr", "add", address, "dev", "world0").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	occupy("10.213.3.1/24")
	if got := openAny(t, options).options.Subnet.String(); got != "10.213.16.0/20" {
		t.Errorf("the pool has %s, want the second part", got)
	}
	occupy("10.213.77.1/16")
	options.StateDir = filepath.Join(t.TempDir(), "other")
	if _, err := OpenAny(t.Context(), options); err == nil || !strings.Contains(err.Error(), "the network interface world0 has addresses 10.213.") {
		t.Errorf("got %v", err)
	}
}

func TestBadSubnet(t *testing.T) {
	for _, subnet := range []string{"fd00::/16", "10.0.0.0/25"} {
		options := anyOptions(t)
		options.Subnet = netip.MustParsePrefix(subnet)
		if _, err := OpenAny(t.Context(), options); err == nil || !strings.Contains(err.Error(), "10.213.0.0/16") {
			t.Errorf("%s: got %v", subnet, err)
		}
	}
}
