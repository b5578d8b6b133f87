package agent

import (
	"os"
	"strconv"
	"strings"
	"sync"
)

// InitialUserNamespace tells whether this process is in the machine's own user
// namespace, where root may do everything: its /proc/self/uid_map, see
// user_namespaces(7), has all numbers as they are.
var InitialUserNamespace = sync.OnceValue(func() bool {
	content, err := os.ReadFile("/proc/self/uid_map")
	// A kernel without user namespaces has no such file.
	return err != nil || mapsAll(content)
})

// mapsAll tells whether a map of numbers has them all, from 0 on.
func mapsAll(content []byte) bool {
	fields := strings.Fields(string(content))
	return len(fields) == 3 && fields[0] == "0" && fields[2] == strconv.FormatUint(1<<32-1, 10)
}
