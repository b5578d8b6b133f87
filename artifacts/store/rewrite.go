package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"midge/artifacts"
)

// rewriter writes what is needed of some packs into one.
type rewriter struct {
	collection *collection
	writer     *packWriter
	small      artifacts.FrameBuilder // contents
	trees      artifacts.FrameBuilder // trees and lists
}

// rewrite writes what is needed of packs of one team into a new one, in their place.
func (c *collection) rewrite(ctx context.Context, packs []*pack) (err error) {
	w, err := c.store.newPackWriter(packs[0].team)
	if err != nil {
		return err
	}
	defer func() {
		// When it was published it is not there under its first name.
		if discardErr := w.discard(); !errors.Is(discardErr, fs.ErrNotExist) {
			err = errors.Join(err, discardErr)
		}
	}()
	r := &rewriter{collection: c, writer: w}
	created := packs[0].created
	for _, p := range packs {
		if err := r.copy(ctx, p); err != nil {
			return fmt.Errorf("rewrite pack %08x: %w", p.id, err)
		}
		if p.created.After(created) {
			created = p.created
		}
	}
	if err := errors.Join(r.flush(&r.small), r.flush(&r.trees)); err != nil {
		return err
	}
	if err := w.seal(created); err != nil {
		return err
	}
	return c.replace(ctx, packs, w)
}

// copy writes the frames of a pack: as they are when all of one is needed, else
// what is needed of it.
func (r *rewriter) copy(ctx context.Context, p *pack) error {
	marked := r.collection.marker.live[p.id]
	if marked == nil {
		return nil
	}
	first := 0
	for number := range p.frames {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		end := first
		needed := 0
		for end < len(p.objects) && p.objects[end].frame == uint32(number) {
			if marked.has(uint32(end)) {
				needed++
			}
			end++
		}
		if needed > 0 {
			if err := r.frame(p, number, first, needed == end-first); err != nil {
				return err
			}
		}
		first = end
	}
	return nil
}

func (r *rewriter) frame(p *pack, number, first int, whole bool) error {
	encoded, err := p.encodedFrame(uint32(number))
	if err != nil {
		return err
	}
	frame, err := artifacts.ParseFrame(encoded)
	if err != nil {
		return err
	}
	if whole {
		return r.writer.add(frame.Objects, encoded)
	}
	raw, err := frame.Decompress(nil)
	if err != nil {
		return err
	}
	marked := r.collection.marker.live[p.id]
	for i, object := range frame.Objects {
		record := raw[:object.Size]
		raw = raw[object.Size:]
		if !marked.has(uint32(first + i)) {
			continue
		}
		builder := &r.small
		if object.Key.Kind != artifacts.KindContent {
			builder = &r.trees
		}
		if !builder.Fits(len(record)) {
			if err := r.flush(builder); err != nil {
				return err
			}
		}
		builder.Add(object.Key, record)
	}
	return nil
}

func (r *rewriter) flush(builder *artifacts.FrameBuilder) error {
	if len(builder.Objects()) == 0 {
		return nil
	}
	err := r.writer.add(builder.Objects(), builder.AppendFrame(nil))
	builder.Reset()
	return err
}
