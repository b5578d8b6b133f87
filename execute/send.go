package execute

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"midge/api"
	"midge/client"
	"midge/trace"
)

// transfersAtOnce is how many inputs or outputs are on their way at the same time.
const transfersAtOnce = 4

// sending brings the inputs of one execution to a server.
type sending struct {
	execution *Execution
	client    *client.Client
	observe   func(Progress)
	// info asks the server what it is. It is asked once, while the inputs are looked at.
	info func() (api.Info, error)
}

// sendInputs makes an artifact of each selected input that is not one already. It gives
// their ids by name, and what the server is.
func (e *Execution) sendInputs(ctx context.Context, c *client.Client, observe func(Progress)) (map[string]int, api.Info, error) {
	var mu sync.Mutex
	artifacts := map[string]int{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(1 + transfersAtOnce)
	// Where the server takes no trees, the directories need not be scanned to their end.
	trees, stopTrees := context.WithCancelCause(ctx)
	defer stopTrees(nil)
	s := &sending{execution: e, client: c, observe: observe}
	s.info = sync.OnceValues(func() (api.Info, error) { return c.Info(ctx) })
	group.Go(func() error {
		err := s.ready()
		if errors.Is(err, ErrNoTrees) {
			stopTrees(err)
			return nil
		}
		return err
	})
	for _, input := range e.selected.inputs {
		if input.job != nil {
			continue // The build fetches it.
		}
		group.Go(func() error {
			id, err := s.input(ctx, trees, input)
			if err != nil {
				return err
			}
			mu.Lock()
			artifacts[input.name] = id
			mu.Unlock()
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, api.Info{}, err
	}
	info, err := s.info()
	return artifacts, info, err
}

// input gives the id of the artifact that an input is, or is made. The context trees
// ends before ctx when the server is found to take none.
func (s *sending) input(ctx, trees context.Context, input source) (int, error) {
	if input.path == "" {
		return input.locate(ctx, s.client)
	}
	if input.image == imageArchive || input.image == imageCompressed {
		dir, remove, err := archiveDirectory(input.path, input.image)
		if err != nil {
			return 0, fmt.Errorf("%s cannot be sent: %w", input.what(), err)
		}
		defer remove()
		input.path = dir
	}
	sent, err := s.send(ctx, trees, input)
	if err != nil {
		return 0, err
	}
	if s.execution.request.DryRun {
		s.observe(Estimated{Input: input.name, Receipt: sent.Receipt})
	} else {
		s.observe(sent)
	}
	return sent.Artifact.ID, nil
}

// send sends one input, by content where the server takes that.
func (s *sending) send(ctx, trees context.Context, input source) (sent Sent, err error) {
	trees, span := trace.StartSpan(trees, "upload "+input.name, trace.Input(input.name))
	defer func() { span.End(err) }()
	sent, err = s.tree(trees, input)
	if errors.Is(err, ErrNoTrees) {
		sent, err = s.archive(ctx, input)
	}
	span.Set(trace.Files(sent.Receipt.SentFiles), trace.Bytes(sent.Receipt.SentBytes), trace.Digest(sent.Receipt.Digest))
	return sent, err
}

// ready waits until it is known that the server takes trees by content; ErrNoTrees
// when it does not.
func (s *sending) ready() error {
	info, err := s.info()
	if err == nil && !info.Offers(api.FeatureArtifacts) {
		return ErrNoTrees
	}
	return err
}

// tree sends of one input what the server lacks.
func (s *sending) tree(ctx context.Context, input source) (Sent, error) {
	upload := upload{
		UploadOptions: input.options(s.execution.request.UploadOptions),
		what:          input.what(),
		name:          input.name,
		dir:           input.path,
	}
	return upload.send(ctx, s.client, s.ready, s.observe)
}
