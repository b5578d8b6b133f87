package transfer

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"midge/artifacts"
)

// lockRetry is how often a Fetch looks whether the one it waits for has ended: no
// system tells of a file lock in a way that a context can end.
const lockRetry = 50 * time.Millisecond

// lockDestination waits until no other Fetch of this user writes to dir: two would
// take each other's stage away. The lock is beside the caches and not in dir, where it
// would be one more file of the user's. Without a cache directory there is none.
func lockDestination(ctx context.Context, cacheDir, dir string) (unlock func() error, err error) {
	if cacheDir == "" {
		return func() error { return nil }, nil
	}
	// One directory has one lock, whatever name it is given.
	resolved, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, fmt.Errorf("resolve directory %q: %w", dir, err)
	}
	absolute, err := filepath.Abs(resolved)
	if err != nil {
		return nil, fmt.Errorf("find the absolute path of %q: %w", dir, err)
	}
	path := filepath.Join(cacheDir, "fetching", artifacts.Sum([]byte(absolute)).String()[:32])
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of locks: %w", err)
	}
	lock := flock.New(path)
	if _, err := lock.TryLockContext(ctx, lockRetry); err != nil {
		return nil, fmt.Errorf("wait for another midge that writes to %q: %w", dir, err)
	}
	return lock.Unlock, nil
}
