package execute

import (
	"context"
	"fmt"
	"io"
	"strconv"

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
	if _, err := io.Copy(w, content); err != nil {
		return fmt.Errorf("read %s of artifact %d: %w", strconv.Quote(path), id, err)
	}
	return nil
}
