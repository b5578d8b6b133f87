package runc

import (
	"context"
	"errors"
	"io/fs"

	"midge/agent"
	"midge/runtime"
)

var _ runtime.Weighed = (*container)(nil)

// DiskUsed implements runtime.Weighed.
func (c *container) DiskUsed(ctx context.Context) (uint64, error) {
	used, err := agent.DiskUsed(ctx, c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = &runtime.NotFoundError{Kind: "container", Name: c.handle}
	}
	return used, err
}
