package network

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// ruleset is the pool's table of nft: NAT for what leaves the subnet, nothing to
// the addresses denied, and to this machine nothing but its name server and pings,
// also not by the addresses that IPv6 gives each link by itself.
func (o Options) ruleset() string {
	var deny strings.Builder
	for _, prefix := range o.Deny {
		fmt.Fprintf(&deny, "\t\tip daddr %s drop\n", prefix)
	}
	return fmt.Sprintf(`table inet %[1]s
delete table inet %[1]s
table inet %[1]s {
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr %[2]s ip daddr != %[2]s masquerade
	}
	chain forward {
		type filter hook forward priority filter - 5; policy accept;
		iifname != "%[1]s" return
%[3]s		ip daddr %[2]s drop
		meta nfproto ipv6 drop
	}
	chain input {
		type filter hook input priority filter - 5; policy accept;
		iifname != "%[1]s" return
		ct state established,related accept
		ip daddr %[4]s meta l4proto { tcp, udp } th dport 53 accept
		icmp type echo-request accept
		drop
	}
}
`, o.Bridge, o.Subnet.Masked(), deny.String(), o.gateway())
}

// install makes the rules and lets the machine forward what comes from the bridge.
func (o Options) install(ctx context.Context) error {
	if err := run(ctx, o.ruleset(), "nft", "-f", "-"); err != nil {
		return err
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		return errors.Join(fmt.Errorf("let the machine forward: %w", err), o.uninstall())
	}
	if err := o.passFirewall(ctx, "-I"); err != nil {
		return errors.Join(err, o.uninstall())
	}
	return nil
}

// uninstall removes the rules and the bridge.
func (o Options) uninstall() error {
	ctx := context.Background()
	failed := o.passFirewall(ctx, "-D")
	if err := run(ctx, fmt.Sprintf("table inet %[1]s\ndelete table inet %[1]s\n", o.Bridge), "nft", "-f", "-"); err != nil {
		failed = errors.Join(failed, err)
	}
	if _, err := os.Stat("/sys/class/net/" + o.Bridge); err == nil {
		failed = errors.Join(failed, run(ctx, "", "ip", "link", "delete", o.Bridge))
	}
	return failed
}

// passFirewall puts (-I) rules into the machine's iptables, or takes them out
// (-D), that let the bridge's packets pass where another program, as Docker does,
// has made dropping the rule. Without the program there are no such rules.
func (o Options) passFirewall(ctx context.Context, action string) error {
	if _, err := exec.LookPath("iptables"); err != nil {
		return nil
	}
	var failed error
	for _, direction := range []string{"-i", "-o"} {
		rule := []string{"FORWARD", direction, o.Bridge, "-m", "comment", "--comment", "midge", "-j", "ACCEPT"}
		there := run(ctx, "", "iptables", append([]string{"-w", "-C"}, rule...)...) == nil
		if there == (action == "-I") {
			continue
		}
		failed = errors.Join(failed, run(ctx, "", "iptables", append([]string{"-w", action}, rule...)...))
	}
	return failed
}

// run runs a program and gives what it says when it fails.
func run(ctx context.Context, input, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, strings.TrimSpace(string(out)))
	}
	return nil
}
