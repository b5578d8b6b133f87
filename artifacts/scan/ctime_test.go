package scan

import (
	"io/fs"
	"syscall"
	"testing"
	"time"
)

// changeTime gives a file's ctime.
func changeTime(t testing.TB, info fs.FileInfo) time.Time {
	t.Helper()
	return time.Unix(info.Sys().(*syscall.Stat_t).Ctim.Unix())
}
