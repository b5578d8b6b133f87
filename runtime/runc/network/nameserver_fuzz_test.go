package network

import (
	"strings"
	"testing"
)

// FuzzNameServers: every name server that is read from a file is an address in it.
func FuzzNameServers(f *testing.F) {
	for _, text := range []string{
		"# by systemd-resolved\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch example.com\n",
		"nameserver\t192.0.2.1\r\nnameserver 2001:db8::1\nnameserver fe80::1%eth0",
		"nameserver\nnameserver x\nnameservers 192.0.2.1\n nameserver 192.0.2.2 # second\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, server := range parseNameServers(text) {
			if !server.IsValid() || !strings.Contains(text, "nameserver") {
				t.Errorf("%q gave %v", text, server)
			}
		}
	})
}
