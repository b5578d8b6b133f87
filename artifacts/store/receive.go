package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"midge/artifacts"
	"midge/trace"
)

// Missing looks what a team has still to send of a tree. tree is set when that is
// nothing; otherwise answer says what. A tree that is too large is a *SizeError,
// one that says what is not so a *TreeError.
//
// What the answer says is there stays until the tree was sent or the upload has
// paused for Options.Grace.
func (s *Store) Missing(ctx context.Context, team string, root artifacts.Digest) (tree *Tree, answer *artifacts.Answer, err error) {
	ctx, span := trace.StartSpan(ctx, "compare artifact")
	defer func() { span.End(err) }()
	defer s.leases.hold(root)()
	answer = new(artifacts.Answer)
	c := s.newCheck(team)
	c.keeper = s.upload(team, root).kept
	c.missing = func(key artifacts.Key, absent bits, count int) error {
		answer.Absent(key, absent, count)
		return nil
	}
	found, err := c.tree(ctx, root, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("look what artifact %v lacks: %w", root, err)
	}
	if limit := s.options.MaxArtifactSize; limit > 0 && found.known && found.totals.size > limit {
		return nil, nil, &SizeError{Size: found.totals.size, Max: limit}
	}
	if found.whole {
		return &Tree{store: s, team: team, root: root, files: found.totals.files, bytes: found.totals.size}, nil, nil
	}
	if !found.present {
		answer.AbsentTop()
	}
	return nil, answer, nil
}

// Receive stores the objects of a pack that a team sends for a tree. When it
// returns without an error they are on disk; else none of them is there. A pack
// that is damaged is a *artifacts.FormatError or *artifacts.DigestError.
func (s *Store) Receive(ctx context.Context, team string, root artifacts.Digest, r io.Reader) (err error) {
	_, span := trace.StartSpan(ctx, "receive pack")
	defer func() { span.End(err) }()
	receipt := &receipt{store: s, team: team, kept: s.upload(team, root).kept}
	defer func() { err = errors.Join(err, receipt.end()) }()
	reader := artifacts.NewPackReader(r)
	for {
		frame, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return receipt.finish()
		}
		if err != nil {
			return err
		}
		if err := receipt.take(&frame); err != nil {
			return err
		}
	}
}

// receipt is the taking of one pack.
type receipt struct {
	store  *Store
	team   string
	kept   *keeper
	writer *packWriter // nil while nothing new has come
	grants []artifacts.Key
}

// rawBuffers holds memory for decompressed frames.
var rawBuffers = sync.Pool{New: func() any { return new([]byte) }}

// take verifies a frame and keeps it as it is, unless all of its objects are there.
func (r *receipt) take(frame *artifacts.Frame) error {
	buffer := rawBuffers.Get().(*[]byte)
	defer rawBuffers.Put(buffer)
	raw, err := frame.Decompress(*buffer)
	if err != nil {
		return err
	}
	*buffer = raw
	if err := frame.Verify(raw); err != nil {
		return err
	}
	if err := decodable(frame.Objects, raw); err != nil {
		return err
	}
	isNew := false
	for _, object := range frame.Objects {
		there, held := r.kept.find(r.team, object.Key)
		isNew = isNew || !there
		if there && !held {
			r.grants = append(r.grants, object.Key)
		}
	}
	if !isNew {
		return nil
	}
	if r.writer == nil {
		if r.writer, err = r.store.newPackWriter(r.team); err != nil {
			return err
		}
	}
	return r.writer.add(frame.Objects, frame.Encoded)
}

// decodable tells whether the trees and lists of a frame are any, so that what is
// stored can always be read.
func decodable(objects []artifacts.Object, raw []byte) error {
	for _, object := range objects {
		record := raw[:object.Size]
		raw = raw[object.Size:]
		switch object.Key.Kind {
		case artifacts.KindTree:
			tree, err := artifacts.ParseTreeRecord(record)
			if err != nil {
				return err
			}
			if _, err := artifacts.DecodeTree(tree); err != nil {
				return fmt.Errorf("%v: %w", object.Key, err)
			}
		case artifacts.KindList:
			if _, err := artifacts.DecodeList(record); err != nil {
				return fmt.Errorf("%v: %w", object.Key, err)
			}
		}
	}
	return nil
}

// finish makes what was taken known.
func (r *receipt) finish() error {
	var writers []*packWriter
	if r.writer != nil {
		if err := r.writer.seal(time.Now()); err != nil {
			return err
		}
		writers = append(writers, r.writer)
	}
	packs, err := r.store.publish(r.team, writers, r.grants)
	if err != nil {
		return err
	}
	r.writer = nil
	for _, p := range packs {
		r.kept.keepPack(p.id)
	}
	return nil
}

// end removes what was not made known.
func (r *receipt) end() error {
	if r.writer == nil {
		return nil
	}
	return r.writer.discard()
}
