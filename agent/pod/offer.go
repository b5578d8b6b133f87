package pod

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"sync"

	"midge/artifacts"
	"midge/artifacts/transfer"
)

// offers are the trees of volumes that the first process serves by their content, by
// their digests.
type offers struct {
	mu    sync.Mutex
	trees map[string]*transfer.Directory
}

// offer has a volume be served as it is now, and answers with its tree's digest.
func (s *server) offer(r *http.Request) (any, error) {
	dir, err := s.volume(r)
	if err != nil {
		return nil, err
	}
	tree, err := transfer.OpenDirectory(r.Context(), dir)
	if err != nil {
		return nil, err
	}
	s.offers.mu.Lock()
	defer s.offers.mu.Unlock()
	if s.offers.trees == nil {
		s.offers.trees = make(map[string]*transfer.Directory)
	}
	s.offers.trees[tree.Digest()] = tree
	return tree.Digest(), nil
}

// offered answers with objects of a tree that was offered.
func (s *server) offered(w http.ResponseWriter, r *http.Request) {
	digest := r.PathValue("digest")
	s.offers.mu.Lock()
	tree := s.offers.trees[digest]
	s.offers.mu.Unlock()
	if tree == nil {
		http.NotFound(w, r)
		return
	}
	http.StripPrefix(offerPath(digest), tree).ServeHTTP(w, r)
}

func offerPath(digest string) string { return "/offers/" + digest }

// Offer has what is in the volume of that number be there for Offered, and gives its
// tree's digest.
func (c *Client) Offer(ctx context.Context, number int) (digest string, err error) {
	return call[string](ctx, c, http.MethodPost, "/volumes/"+strconv.Itoa(number)+"/offer", nil)
}

// Offered serves a tree that was offered: POST /fetch, as package artifacts/transfer
// asks. What goes wrong cuts the answer.
func (c *Client) Offered(digest string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+artifacts.FetchPath, func(w http.ResponseWriter, r *http.Request) {
		keys, err := io.ReadAll(http.MaxBytesReader(w, r.Body, artifacts.MaxPack))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		path := offerPath(digest) + artifacts.FetchPath + "?" + r.URL.RawQuery
		response, err := c.request(r.Context(), http.MethodPost, path, func() (io.Reader, error) { return bytes.NewReader(keys), nil })
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer response.Body.Close()
		w.Header().Set("Content-Type", response.Header.Get("Content-Type"))
		if _, err := io.Copy(w, response.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
	})
	return mux
}
