package runc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"

	"midge/agent"
	"midge/runtime"
)

// Listen gives a listener in the container's network, as runtime.Listening has it.
func (c *container) Listen(ctx context.Context, id string) (net.Listener, error) {
	var listener net.Listener
	err := c.whileUp(ctx, func() (err error) {
		listener, err = c.client.Listen(ctx, id)
		return err
	})
	return listener, err
}

// Environment is that of the container, as runtime.Listening has it.
func (c *container) Environment(context.Context) ([]string, error) {
	config, err := agent.ReadConfig(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &runtime.NotFoundError{Kind: "container", Name: c.handle}
	}
	if err != nil {
		return nil, fmt.Errorf("container %s: %w", c.handle, err)
	}
	return config.Env, nil
}
