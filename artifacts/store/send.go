package store

import (
	"cmp"
	"context"
	"io"
	"slices"

	"midge/artifacts"
	"midge/runtime"
)

// Send writes a pack with objects that a team has sent, in the order that is good
// for the store, and, if below is set, all trees and lists below the trees among them.
// More may come along than was asked for; a key of an object that the team has not
// sent is a *runtime.NotFoundError.
func (s *Store) Send(ctx context.Context, team string, keys []artifacts.Key, below bool, w io.Writer) error {
	return s.send(ctx, team, keys, below, false, w)
}

// send is Send; with exact nothing comes along that was not asked for.
func (s *Store) send(ctx context.Context, team string, keys []artifacts.Key, below, exact bool, w io.Writer) error {
	p := &packSender{store: s, team: team, exact: exact, w: w, kept: s.newKeeper(), sent: make(map[artifacts.Key]struct{})}
	defer p.kept.close()
	for _, key := range keys {
		if _, held := p.kept.find(team, key); !held {
			return &runtime.NotFoundError{Kind: "object", Name: key.String()}
		}
	}
	if _, err := w.Write(artifacts.AppendPackStart(nil)); err != nil {
		return err
	}
	send := p.objects
	if below {
		send = p.below
	}
	if err := send(ctx, keys); err != nil {
		return err
	}
	_, err := w.Write(artifacts.AppendPackEnd(nil))
	return err
}

// packSender writes one pack.
type packSender struct {
	store *Store
	team  string
	exact bool // send what is asked for alone
	w     io.Writer
	kept  *keeper
	sent  map[artifacts.Key]struct{}
}

// sendBatch is how many objects are looked up before they are sent.
const sendBatch = 4096

// below sends objects, and all trees and lists below the trees among them.
func (p *packSender) below(ctx context.Context, keys []artifacts.Key) error {
	for len(keys) > 0 {
		first := max(0, len(keys)-sendBatch)
		batch := slices.Clone(keys[first:])
		keys = keys[:first]
		if err := p.objects(ctx, batch); err != nil {
			return err
		}
		for _, key := range batch {
			if key.Kind != artifacts.KindTree {
				continue
			}
			directory, err := p.store.directory(key.Digest)
			if err != nil {
				return err
			}
			for _, part := range directory.Parts {
				keys = p.queue(keys, artifacts.Key{Kind: artifacts.KindTree, Digest: part})
			}
			for i := range directory.Entries {
				if e := &directory.Entries[i]; e.Content.Kind >= artifacts.KindList {
					keys = p.queue(keys, e.Content)
				}
			}
		}
	}
	return nil
}

// queue adds a key that was not sent, once.
func (p *packSender) queue(keys []artifacts.Key, key artifacts.Key) []artifacts.Key {
	if _, ok := p.sent[key]; ok {
		return keys
	}
	p.sent[key] = struct{}{}
	return append(keys, key)
}

// wanted is an object that is to be sent.
type wanted struct {
	key artifacts.Key
	at  place
}

// objects sends objects frame by frame.
func (p *packSender) objects(ctx context.Context, keys []artifacts.Key) error {
	all := make([]wanted, 0, len(keys))
	for _, key := range keys {
		if _, held := p.kept.find(p.team, key); !held {
			return &MissingError{key}
		}
		at, _, _ := p.store.held(p.team, key)
		all = append(all, wanted{key, at})
	}
	slices.SortFunc(all, func(a, b wanted) int {
		return cmp.Or(cmp.Compare(a.at.pack, b.at.pack), cmp.Compare(a.at.object, b.at.object))
	})
	all = slices.CompactFunc(all, func(a, b wanted) bool { return a.at == b.at })
	var rest artifacts.FrameBuilder
	for len(all) > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		pack, frame := p.frameOf(all[0].at)
		n := 1
		for n < len(all) && all[n].at.pack == pack.id && pack.objects[all[n].at.object].frame == frame {
			n++
		}
		if err := p.frame(pack, frame, all[:n], &rest); err != nil {
			return err
		}
		all = all[n:]
	}
	return p.flush(&rest)
}

func (p *packSender) frameOf(at place) (*pack, uint32) {
	p.store.mu.RLock()
	defer p.store.mu.RUnlock()
	pack := p.store.packs[at.pack]
	return pack, pack.objects[at.object].frame
}

// frame sends objects of one frame: as the frame is stored when most of it is
// wanted and all of it may be sent, else together with objects of others.
func (p *packSender) frame(pack *pack, number uint32, objects []wanted, rest *artifacts.FrameBuilder) error {
	size := 0
	for _, object := range objects {
		size += int(pack.objects[object.at.object].size)
	}
	whole := size == int(pack.frames[number].raw)
	if whole && p.exact || !p.exact && 2*size >= int(pack.frames[number].raw) && p.mayHave(pack, number) {
		encoded, err := pack.encodedFrame(number)
		if err != nil {
			p.store.noteUnreadable(pack, err, func() error {
				_, err := pack.encodedFrame(number)
				return err
			})
			return err
		}
		_, err = p.w.Write(encoded)
		return err
	}
	raw, err := p.store.frame(pack, number)
	if err != nil {
		return err
	}
	for _, object := range objects {
		where := pack.objects[object.at.object]
		if !rest.Fits(int(where.size)) {
			if err := p.flush(rest); err != nil {
				return err
			}
		}
		rest.Add(object.key, raw[where.offset:where.offset+where.size])
	}
	return nil
}

// mayHave reports whether the team has sent every object of a frame.
func (p *packSender) mayHave(pack *pack, number uint32) bool {
	if pack.team == p.team {
		return true
	}
	p.store.mu.RLock()
	defer p.store.mu.RUnlock()
	t := p.store.teams[p.team]
	first, _ := slices.BinarySearchFunc(pack.objects, number, func(s span, n uint32) int { return cmp.Compare(s.frame, n) })
	for i := first; i < len(pack.objects) && pack.objects[i].frame == number; i++ {
		if !p.store.heldAt(t, place{pack.id, uint32(i)}) {
			return false
		}
	}
	return true
}

func (p *packSender) flush(builder *artifacts.FrameBuilder) error {
	_, err := p.w.Write(builder.AppendFrame(nil))
	builder.Reset()
	return err
}
