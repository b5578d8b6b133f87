package transfer

import (
	"context"
	"errors"

	"midge/artifacts"
	"midge/artifacts/scan"
)

// treeRecord is a tree or list object that is to be sent.
type treeRecord struct {
	key    artifacts.Key
	record []byte
}

// lackedTrees gives the trees and lists that the server is believed to lack.
//
// What it lacks for certain is what it says. What is below that it does not know:
// when it is remembered what this server has, all the rest is sent. Else a level
// is sent at a time, unless none of several directories in one is there: then the
// server has seen nothing like it, and all below comes along.
func (s *sender) lackedTrees(lacks *lacking) ([]treeRecord, error) {
	if lacks.top && s.memory.has(s.tree.Top().Key()) {
		s.memory.forget()
	}
	l := &treeList{sender: s, lacks: lacks, listed: make(map[artifacts.Key]struct{})}
	var err error
	switch {
	case !lacks.top:
		err = l.visit(s.tree.Top())
	case s.memory.empty():
		err = l.one(s.tree.Top())
	default:
		err = l.below(s.tree.Top())
	}
	return l.records, err
}

type treeList struct {
	sender  *sender
	lacks   *lacking
	listed  map[artifacts.Key]struct{}
	records []treeRecord
}

func (l *treeList) add(key artifacts.Key, record func() []byte) {
	if _, ok := l.listed[key]; ok {
		return
	}
	l.listed[key] = struct{}{}
	l.records = append(l.records, treeRecord{key, record()})
}

// one adds a directory's object, those parts of it that are known to be new, and
// the lists of its files.
func (l *treeList) one(d scan.Directory) error {
	return l.directory(d, !l.sender.memory.empty())
}

func (l *treeList) directory(d scan.Directory, parts bool) error {
	for i, object := range d.Objects() {
		key := artifacts.Key{Kind: artifacts.KindTree, Digest: object.Digest}
		if i == 0 || parts && !l.sender.memory.has(key) {
			l.add(key, object.Record)
		}
	}
	for i, e := range d.Entries() {
		if e.Content.Kind != artifacts.KindList || l.sender.memory.has(e.Content) {
			continue
		}
		if err := l.list(d, i); err != nil {
			return err
		}
	}
	return nil
}

// list adds the list of the file at index.
func (l *treeList) list(d scan.Directory, index int) error {
	chunks, err := l.sender.chunks(d, index)
	if err != nil {
		return err
	}
	l.add(d.Entries()[index].Content, func() []byte { return artifacts.EncodeList(chunks) })
	return nil
}

// below adds all that is not remembered, from a directory down.
func (l *treeList) below(d scan.Directory) error {
	if l.sender.memory.has(d.Key()) {
		return nil
	}
	if err := l.directory(d, true); err != nil {
		return err
	}
	for child := range d.Children() {
		if err := l.below(child); err != nil {
			return err
		}
	}
	return nil
}

// visit adds what the server says it lacks, from a directory that it has down.
func (l *treeList) visit(d scan.Directory) error {
	l.parts(d)
	absent := make(map[artifacts.Key]struct{})
	var err error
	l.lacks.eachEntry(d, func(index int) {
		e := &d.Entries()[index]
		absent[e.Content] = struct{}{}
		if e.Content.Kind == artifacts.KindList {
			err = errors.Join(err, l.list(d, index))
		}
	})
	if err != nil {
		return err
	}
	var lacked, there []scan.Directory
	for child := range d.Children() {
		if _, ok := absent[child.Key()]; ok {
			if l.sender.memory.has(child.Key()) {
				l.sender.memory.forget()
			}
			lacked = append(lacked, child)
		} else {
			there = append(there, child)
		}
	}
	add := l.one
	if len(lacked) > 1 && len(there) == 0 || !l.sender.memory.empty() {
		add = l.below
	}
	for _, child := range lacked {
		if err := add(child); err != nil {
			return err
		}
	}
	for _, child := range there {
		if err := l.visit(child); err != nil {
			return err
		}
	}
	return nil
}

// parts adds the parts of a directory that are absent.
func (l *treeList) parts(d scan.Directory) {
	for i, part := range d.Objects()[1:] {
		if l.lacks.is(d.Key(), i) {
			l.add(artifacts.Key{Kind: artifacts.KindTree, Digest: part.Digest}, part.Record)
		}
	}
}

// sendTrees sends trees and lists.
func (s *sender) sendTrees(ctx context.Context, trees []treeRecord) error {
	p := newPacker(ctx, s)
	p.workers.Go(func() {
		f := p.newFrames()
		defer f.release()
		for _, tree := range trees {
			if err := f.add(tree); err != nil {
				p.fail(err)
				return
			}
		}
		if err := f.flush(); err != nil {
			p.fail(err)
		}
	})
	return p.finish()
}
