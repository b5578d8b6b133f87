package engine

import (
	"context"

	"midge/api"
)

// do runs steps one after the other up to the first that does not succeed.
func (b *build) do(ctx context.Context, steps []api.Plan, attempt int) outcome {
	for i := range steps {
		if out := b.step(ctx, &steps[i], attempt); out != succeeded {
			return out
		}
	}
	return succeeded
}
