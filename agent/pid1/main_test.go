package pid1

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// inContainer has the test's program be the first process of a container.
const inContainer = "MIDGE_TEST_FIRST_PROCESS"

func TestMain(m *testing.M) {
	if kind := os.Getenv(inContainer); kind != "" {
		if err := beFirst(kind); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func beFirst(kind string) error {
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount the container's /proc: %w", err)
	}
	socket := os.NewFile(Descriptor, "supervisor")
	if kind == "shared" {
		return MainShared(socket)
	}
	return Main(socket)
}
