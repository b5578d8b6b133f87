package api

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// minLimit is the smallest limit of memory that lets a process start at all, in bytes,
// and of disk space that is none by mistake.
const minLimit = 1 << 20

var memoryPattern = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([0-9]+)(?:([kKmMgGtT])(?:i?[bB])?|[bB])?$`)
})

// ParseMemory reads an amount of memory as task files write it: bytes, or with
// a unit of K, M, G or T, optionally followed by B, in either case. Units are of
// 1024.
func ParseMemory(text string) (bytes uint64, err error) {
	parts := memoryPattern().FindStringSubmatch(strings.TrimSpace(text))
	if parts == nil {
		return 0, fmt.Errorf("%q is no amount of memory: write bytes, or a number with KB, MB or GB, as in 512MB", text)
	}
	bytes, err = strconv.ParseUint(parts[1], 10, 64)
	shift := 0
	if unit := strings.ToUpper(parts[2]); unit != "" {
		shift = 10 * (1 + strings.Index("KMGT", unit))
	}
	if err != nil || bytes > math.MaxInt64>>shift {
		return 0, fmt.Errorf("%q is more memory than any machine has", text)
	}
	return bytes << shift, nil
}

// UnmarshalJSON takes numbers and strings, memory with or without a unit.
func (l *ContainerLimits) UnmarshalJSON(data []byte) error {
	var raw struct {
		CPU    *textValue `json:"cpu"`
		Memory *textValue `json:"memory"`
		Disk   *textValue `json:"disk"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	*l = ContainerLimits{}
	if raw.CPU != nil && *raw.CPU != "" {
		shares, err := parseShares(string(*raw.CPU))
		if err != nil {
			return fmt.Errorf("container_limits.cpu: %w", err)
		}
		l.CPU = &shares
	}
	if raw.Memory != nil && *raw.Memory != "" {
		memory, err := ParseMemory(string(*raw.Memory))
		if err != nil {
			return fmt.Errorf("container_limits.memory: %w", err)
		}
		l.Memory = &memory
	}
	if raw.Disk != nil && *raw.Disk != "" {
		disk, err := parseDisk(string(*raw.Disk))
		if err != nil {
			return fmt.Errorf("container_limits.disk: %w", err)
		}
		l.Disk = &disk
	}
	return nil
}

// parseDisk reads an amount of disk space, which is written as memory is.
func parseDisk(text string) (bytes uint64, err error) {
	if bytes, err = ParseMemory(text); err != nil {
		return 0, fmt.Errorf("%q is no amount of disk space: write bytes, or a number with KB, MB or GB, as in 10GB", text)
	}
	return bytes, nil
}

func parseShares(text string) (uint64, error) {
	shares, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no number of CPU shares: write a whole number, 1024 being one full weight", text)
	}
	return shares, nil
}
