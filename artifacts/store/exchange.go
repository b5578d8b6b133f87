package store

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"midge/artifacts"
	"midge/runtime"
)

// A Sender is an artifact that is somewhere else, and sends itself by its content:
// only what is lacked of it.
type Sender interface {
	runtime.Artifact

	// Send sends the tree to who serves POST /trees/DIGEST, /objects and /have, and
	// gives its digest. The server is of no use when it has returned.
	Send(ctx context.Context, to http.Handler) (digest string, err error)
}

// Objects serves the objects of the tree, and none but these: POST /fetch.
func (t *Tree) Objects() http.Handler {
	keys := sync.OnceValues(func() (map[artifacts.Key]struct{}, error) { return t.store.keysBelow(t.root) })
	h := &handler{store: t.store, routes: Routes{Team: func(*http.Request) string { return t.team }}, within: keys}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+artifacts.FetchPath, h.fetch)
	return mux
}

// keysBelow gives the keys of all objects of a tree.
func (s *Store) keysBelow(root artifacts.Digest) (map[artifacts.Key]struct{}, error) {
	top := artifacts.Key{Kind: artifacts.KindTree, Digest: root}
	keys := map[artifacts.Key]struct{}{top: {}}
	for rest := []artifacts.Key{top}; len(rest) > 0; {
		key := rest[len(rest)-1]
		rest = rest[:len(rest)-1]
		named, err := s.named(key)
		if err != nil {
			return nil, fmt.Errorf("artifact %v: %w", root, err)
		}
		for _, key := range named {
			if _, ok := keys[key]; ok {
				continue
			}
			keys[key] = struct{}{}
			if key.Kind != artifacts.KindContent {
				rest = append(rest, key)
			}
		}
	}
	return keys, nil
}

// named gives the keys that a tree or list names.
func (s *Store) named(key artifacts.Key) ([]artifacts.Key, error) {
	if key.Kind == artifacts.KindList {
		return s.chunks(&artifacts.Entry{Content: key})
	}
	directory, err := s.directory(key.Digest)
	if err != nil {
		return nil, err
	}
	var keys []artifacts.Key
	for _, part := range directory.Parts {
		keys = append(keys, artifacts.Key{Kind: artifacts.KindTree, Digest: part})
	}
	for i := range directory.Entries {
		if key := directory.Entries[i].Content; key.Kind != 0 {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// ingestSent stores what an artifact sends of itself.
func (s *Store) ingestSent(ctx context.Context, team string, a Sender) (digest string, files, bytes int64, err error) {
	handler := s.Handler(Routes{
		Team:    func(*http.Request) string { return team },
		Created: func(w http.ResponseWriter, _ *http.Request, _ *Tree) { w.WriteHeader(http.StatusCreated) },
	})
	digest, err = a.Send(ctx, handler)
	if err != nil {
		return "", 0, 0, fmt.Errorf("store artifact %q: %w", a.Handle(), err)
	}
	tree, err := s.Tree(ctx, team, digest)
	if err != nil {
		return "", 0, 0, fmt.Errorf("store artifact %q: %w", a.Handle(), err)
	}
	return digest, tree.files, tree.bytes, nil
}
