package agent

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"midge/agent/thread"
)

// NetworkPath is where on a container's stage the runtime finds the network
// namespace that its supervisor was given.
func NetworkPath(stage string) string { return filepath.Join(stage, "network") }

// useNetwork puts a network namespace at path, and lets the container's users do
// there what they could if it were their own: serve on low ports, and ping.
func useNetwork(namespace *os.File, path string) error {
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", namespace.Fd()), path, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount the network namespace at %s: %w", path, err)
	}
	return thread.Run(func() error { return openNetwork(namespace) })
}

// openNetwork is for a thread that is good for nothing else.
func openNetwork(namespace *os.File) error {
	if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the network namespace: %w", err)
	}
	for setting, value := range map[string]string{
		"ip_unprivileged_port_start": "0",
		"ping_group_range":           "0 2147483647",
	} {
		if err := os.WriteFile(filepath.Join("/proc/sys/net/ipv4", setting), []byte(value), 0); err != nil {
			return err
		}
	}
	return nil
}
