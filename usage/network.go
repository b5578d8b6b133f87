//go:build linux

package usage

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"midge/api"
)

// sharedNetwork tells whether the process is in this process's own network namespace.
func sharedNetwork(proc string, pid int) (bool, error) {
	own, err := os.Readlink(filepath.Join(proc, "self/ns/net"))
	if err != nil {
		return false, err
	}
	other, err := os.Readlink(filepath.Join(proc, fmt.Sprint(pid), "ns/net"))
	if err != nil {
		return false, err
	}
	return own == other, nil
}

// parseNetDev reads /proc/PID/net/dev and sums up all devices but loopback:
// Documentation/filesystems/proc.rst, "Networking info in /proc/net".
func parseNetDev(data []byte, sample *api.Sample) error {
	stat := new(api.NetStat)
	// The columns of a line, counted from the one after the device's name.
	columns := map[int]**uint64{
		0: &stat.RxBytes, 1: &stat.RxPackets, 2: &stat.RxErrors, 3: &stat.RxDropped,
		8: &stat.TxBytes, 9: &stat.TxPackets, 10: &stat.TxErrors, 11: &stat.TxDropped,
	}
	for _, counter := range columns {
		add(counter, 0)
	}
	for line := range bytes.Lines(data) {
		// Large numbers leave no space after the colon.
		name, rest, ok := bytes.Cut(line, []byte(":"))
		if !ok || string(bytes.TrimSpace(name)) == "lo" {
			continue
		}
		fields := bytes.Fields(rest)
		if len(fields) < 12 {
			return fmt.Errorf("line %q: %w", bytes.TrimSpace(line), errFields)
		}
		for column, counter := range columns {
			value, err := parseNumber(fields[column])
			if err != nil {
				return fmt.Errorf("line %q: %w", bytes.TrimSpace(line), err)
			}
			add(counter, value)
		}
	}
	sample.NetStat = stat
	return nil
}
