package store

import (
	"context"
	"errors"
	"fmt"

	"midge/artifacts"
)

// marker finds what named trees need.
type marker struct {
	store *Store
	live  packBits
	stack []artifacts.Key // trees and lists to be looked at
	lost  []error         // what is named and not there
}

// mark marks a tree and all below it.
func (m *marker) mark(ctx context.Context, root artifacts.Digest) error {
	m.push(artifacts.Key{Kind: artifacts.KindTree, Digest: root}, root)
	for len(m.stack) > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		key := m.stack[len(m.stack)-1]
		m.stack = m.stack[:len(m.stack)-1]
		if err := m.look(key, root); err != nil {
			return fmt.Errorf("artifact %v: %w", root, err)
		}
	}
	return nil
}

// push marks an object. What it names is looked at if that was not done before.
func (m *marker) push(key artifacts.Key, root artifacts.Digest) {
	m.store.mu.RLock()
	at, ok := m.store.index[key]
	m.store.mu.RUnlock()
	if !ok {
		m.lost = append(m.lost, fmt.Errorf("artifact %v: %w", root, &MissingError{key}))
		return
	}
	if m.live.set(at) && key.Kind != artifacts.KindContent {
		m.stack = append(m.stack, key)
	}
}

// look marks what a tree or list names.
func (m *marker) look(key artifacts.Key, root artifacts.Digest) error {
	if key.Kind == artifacts.KindList {
		record, err := m.store.record(key)
		if err != nil {
			return m.lose(err)
		}
		chunks, err := artifacts.DecodeList(record)
		if err != nil {
			return m.lose(err)
		}
		for _, chunk := range chunks {
			m.push(artifacts.Key{Kind: artifacts.KindContent, Digest: chunk.Digest}, root)
		}
		return nil
	}
	directory, err := m.store.directory(key.Digest)
	if err != nil {
		return m.lose(err)
	}
	for _, part := range directory.Parts {
		m.push(artifacts.Key{Kind: artifacts.KindTree, Digest: part}, root)
	}
	for i := range directory.Entries {
		if key := directory.Entries[i].Content; key.Kind != 0 {
			m.push(key, root)
		}
	}
	return nil
}

// lose notes an object that is damaged: what it names is not known any more, so
// that nothing may be removed.
func (m *marker) lose(err error) error {
	return errors.Join(append(m.lost, err)...)
}
