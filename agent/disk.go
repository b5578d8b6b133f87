package agent

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"midge/agent/quota"
	"midge/agent/weigh"
)

// DiskUsed is how many bytes the container in dir takes on the disk. When ctx ends
// before all is counted it gives what was by then, and an error.
func DiskUsed(ctx context.Context, dir string) (uint64, error) {
	config, err := ReadConfig(dir)
	if err != nil {
		return 0, err
	}
	return config.diskUsed(ctx, dir)
}

func (c Config) diskUsed(ctx context.Context, dir string) (uint64, error) {
	output := filepath.Join(dir, processDir)
	if c.DiskProject == 0 {
		return weigh.Directories(ctx, append([]string{output}, c.Written...)...)
	}
	files, err := quota.Used(dir, c.DiskProject)
	if err != nil {
		return 0, err
	}
	bytes, err := weigh.Directories(ctx, output)
	return files + bytes, err
}

// quotaSlack is how much less than its limit a container may have that could write no more:
// what was to be written need not have fitted exactly.
const quotaSlack = 128 << 10

// atQuota is how many bytes the container takes on the disk when its quota lets it write
// no more, else 0.
func (s *supervisor) atQuota() uint64 {
	if s.config.DiskProject == 0 {
		return 0
	}
	used, err := quota.Used(s.dir, s.config.DiskProject)
	if err != nil {
		slog.Error("what the container has of its quota is not known", "error", err)
	}
	if used+quotaSlack < s.config.DiskLimit {
		return 0
	}
	return used
}

// watchDisk kills the container's processes when it takes more of the disk than it may,
// until the function that is given returns.
func (s *supervisor) watchDisk(ctx context.Context) (unwatch func()) {
	if s.config.DiskLimit == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { s.keepWithinDisk(ctx) })
	return func() {
		cancel()
		watching.Wait()
	}
}

func (s *supervisor) keepWithinDisk(ctx context.Context) {
	ticker := time.NewTicker(diskGlance)
	defer ticker.Stop()
	count := diskCount{allowed: s.config.DiskLimit}
	if s.config.DiskProject != 0 {
		// Who comes to the quota is told so by the write that fails, and may still say it.
		count.leave(s.config.DiskLimit)
	}
	for {
		if taken, err := takenOf(s.dir); err != nil {
			slog.Error("the disk cannot be looked at", "error", err)
		} else if count.due(time.Now(), taken) {
			began := time.Now()
			used, err := s.config.diskUsed(ctx, s.dir)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				slog.Error("not all of what the container has on the disk is counted", "error", err)
			}
			count.counted(began, time.Now(), taken, used)
			if used > count.allowed {
				s.killForDisk(used)
				count.leave(used)
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// killForDisk kills all processes, and has each know what for.
func (s *supervisor) killForDisk(used uint64) {
	slog.Warn("the container takes more of the disk than it may", "used", used, "limit", s.config.DiskLimit)
	// One that is being started would be killed without a reason, or be missed.
	s.starting.Lock()
	defer s.starting.Unlock()
	s.mu.Lock()
	for _, p := range s.processes {
		p.diskUsed.Store(used)
	}
	s.mu.Unlock()
	none, err := s.first.EndAll(unix.SIGKILL)
	if err != nil { // it is gone, and they are with it
		return
	}
	select {
	case <-none:
	case <-s.first.Gone():
	}
}

// takenOf is how many bytes of the disk of a directory are taken, whoever by.
func takenOf(dir string) (uint64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0, err
	}
	return (stat.Blocks - stat.Bfree) * uint64(stat.Bsize), nil
}

const (
	// diskGlance is how often it is looked at how much of the disk is taken, which
	// costs nothing.
	diskGlance = time.Second
	// A count costs with the number of files: after one there is a pause of diskPause
	// times as long as it took.
	diskPause = 20
	// diskPatience is how long a disk may change by little before the container's share
	// of that is counted: others may free what it takes.
	diskPatience = 30 * time.Second
)

// diskCount tells when what a container has on the disk must be counted again.
type diskCount struct {
	allowed uint64 // bytes
	left    bool   // whether that is more than the limit

	used  uint64 // at the last count
	taken uint64 // of the whole disk then
	at    time.Time
	took  time.Duration
}

// due tells whether to count, now that so much of the whole disk is taken. The container
// cannot have come to its limit before the disk has grown by what it lacked.
func (c *diskCount) due(now time.Time, taken uint64) bool {
	switch since := now.Sub(c.at); {
	case c.at.IsZero():
		return true
	case since < diskPause*c.took || taken == c.taken:
		return false
	case since >= diskPatience || c.used > c.allowed:
		return true
	}
	return taken > c.taken && taken-c.taken > (c.allowed-c.used)/2
}

func (c *diskCount) counted(began, ended time.Time, taken, used uint64) {
	c.used, c.taken, c.at, c.took = used, taken, ended, ended.Sub(began)
}

// leave lets whoever comes to look at what fills the disk do so: a container that had so
// much may from then on have that, as it was first, and a little more.
func (c *diskCount) leave(used uint64) {
	if !c.left {
		c.allowed, c.left = used+c.allowed/8, true
	}
}
