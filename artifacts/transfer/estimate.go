package transfer

import (
	"context"

	"midge/artifacts"
	"midge/artifacts/scan"
)

// haveBatch is how many objects one question is about.
const haveBatch = 100_000

// absentKeys are objects that the server lacks.
type absentKeys map[artifacts.Key]struct{}

func (a absentKeys) has(key artifacts.Key) bool {
	_, ok := a[key]
	return ok
}

func (a absentKeys) eachEntry(d scan.Directory, absent func(index int)) {
	for index, e := range d.Entries() {
		if a.has(e.Content) {
			absent(index)
		}
	}
}

func (a absentKeys) anyChunk(list artifacts.Key) bool { return a.has(list) }

func (a absentKeys) chunk(_ artifacts.Key, _ int, digest artifacts.Digest) bool {
	return a.has(artifacts.Key{Kind: artifacts.KindContent, Digest: digest})
}

// estimate finds what would be sent, by asking for digests alone: first of the
// trees, then of the contents that those name which the server lacks.
func (s *sender) estimate(ctx context.Context) error {
	absent := make(absentKeys)
	var trees, named []artifacts.Key
	for d := range s.tree.Directories() {
		trees = append(trees, d.Key())
	}
	if err := s.ask(ctx, trees, absent); err != nil {
		return err
	}
	for d := range s.tree.Directories() {
		if !absent.has(d.Key()) {
			continue
		}
		for index, e := range d.Entries() {
			switch e.Content.Kind {
			case artifacts.KindContent:
				named = append(named, e.Content)
			case artifacts.KindList:
				chunks, err := s.chunks(d, index)
				if err != nil {
					return err
				}
				named = append(named, e.Content)
				for _, chunk := range chunks {
					named = append(named, artifacts.Key{Kind: artifacts.KindContent, Digest: chunk.Digest})
				}
			}
		}
	}
	if err := s.ask(ctx, named, absent); err != nil {
		return err
	}
	contents, err := s.lackedContents(absent)
	if err != nil {
		return err
	}
	contents.describe(&s.receipt)
	return nil
}

// ask adds those keys to absent that the server lacks.
func (s *sender) ask(ctx context.Context, keys []artifacts.Key, absent absentKeys) error {
	for len(keys) > 0 {
		batch := keys[:min(len(keys), haveBatch)]
		keys = keys[len(batch):]
		s.receipt.Requests++
		has, err := s.remote.have(ctx, batch)
		if err != nil {
			return err
		}
		for i, key := range batch {
			if !has(i) {
				absent[key] = struct{}{}
			}
		}
	}
	return nil
}
