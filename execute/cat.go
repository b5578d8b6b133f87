package execute

import (
	"context"
	"fmt"
	"io"

	"midge/client"
)

// Cat writes a file of an artifact to w. A server that is a Concourse gives ErrNoTrees.
func Cat(ctx context.Context, c *client.Client, id int, path string, w io.Writer) error {
	if err := checkTrees(ctx, c); err != nil {
		return err
	}
	content, err := c.ArtifactFile(ctx, id, path)
	if err != nil {
		return err
	}
	defer content.Close()
	written := &counted{w: w}
	_, err = io.Copy(written, content)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case written.err != nil:
		return fmt.Errorf("write what %q of artifact %d holds: %w", path, id, written.err)
	}
	return fmt.Errorf("of the file %q of artifact %d only the first %d bytes came (%w): try again; when it ends there again it is damaged on the server, which midge server verify tells there",
		path, id, written.bytes, err)
}

// counted is a writer that knows what it has taken, and whether it failed.
type counted struct {
	w     io.Writer
	bytes int64
	err   error
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.bytes += int64(n)
	c.err = err
	return n, err
}
