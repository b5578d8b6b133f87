package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"midge/artifacts"
	"midge/runtime"
)

// Routes says how the Handler fits into a server.
type Routes struct {
	// Prefix is where the artifacts of a team are, as a pattern of http.ServeMux:
	// /api/v1/teams/{team}/artifacts.
	Prefix string
	// Team gives the team of a request that was let in.
	Team func(r *http.Request) string
	// Created is called when a team has sent all of a tree, or had before: it names
	// the tree in a row and answers the request. The tree stays until it returns,
	// and for Options.Grace after.
	Created func(w http.ResponseWriter, r *http.Request, tree *Tree)
}

// receivers is how many packs are taken at once; others wait.
const receivers = 16

// Handler gives the server's side of the protocol by which trees are sent and
// fetched: POST PREFIX/trees/DIGEST, PREFIX/objects, PREFIX/have and PREFIX/fetch.
// Errors are answered with one sentence of text.
func (s *Store) Handler(routes Routes) http.Handler {
	h := &handler{store: s, routes: routes, receiving: make(chan struct{}, receivers)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+routes.Prefix+artifacts.TreesPath+"{digest}", h.tree)
	mux.HandleFunc("POST "+routes.Prefix+artifacts.ObjectsPath, h.objects)
	mux.HandleFunc("POST "+routes.Prefix+artifacts.HavePath, h.have)
	mux.HandleFunc("POST "+routes.Prefix+artifacts.FetchPath, h.fetch)
	return mux
}

type handler struct {
	store     *Store
	routes    Routes
	receiving chan struct{}
	// within, unless it is nil, gives the objects that are served, and others are not there.
	within func() (map[artifacts.Key]struct{}, error)
}

// tree names a tree that the team has sent, or says what is missing of it.
func (h *handler) tree(w http.ResponseWriter, r *http.Request) {
	root, err := artifacts.ParseDigest(r.PathValue("digest"))
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	team := h.routes.Team(r)
	defer h.store.leases.hold(root)()
	tree, answer, err := h.store.Missing(r.Context(), team, root)
	if err != nil {
		failWith(w, err)
		return
	}
	if tree != nil {
		h.routes.Created(w, r, tree)
		h.store.endUpload(team, root)
		return
	}
	body := answer.Bytes()
	w.Header().Set("Content-Type", artifacts.AnswerType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusConflict)
	w.Write(body)
}

// objects takes a pack.
func (h *handler) objects(w http.ResponseWriter, r *http.Request) {
	root, err := artifacts.ParseDigest(r.URL.Query().Get("tree"))
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	select {
	case h.receiving <- struct{}{}:
		defer func() { <-h.receiving }()
	case <-r.Context().Done():
		return
	}
	body := http.MaxBytesReader(w, r.Body, artifacts.MaxPack)
	if err := h.store.Receive(r.Context(), h.routes.Team(r), root, body); err != nil {
		failWith(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// have tells which of some objects the team has sent: a bit for each key of the request.
func (h *handler) have(w http.ResponseWriter, r *http.Request) {
	keys, ok := readKeys(w, r)
	if !ok {
		return
	}
	team := h.routes.Team(r)
	mask := make([]byte, (len(keys)+7)/8)
	for i, key := range keys {
		if _, _, ok := h.store.held(team, key); ok {
			mask[i/8] |= 1 << (i % 8)
		}
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Write(mask)
}

func readKeys(w http.ResponseWriter, r *http.Request) ([]artifacts.Key, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, artifacts.MaxPack))
	if err != nil {
		failWith(w, err)
		return nil, false
	}
	keys, err := artifacts.ParseKeys(body)
	if err != nil {
		failWith(w, err)
		return nil, false
	}
	return keys, true
}

// fetch gives objects that the team has sent, as a pack. With ?below=1 all trees
// below the trees that are asked for come as well.
func (h *handler) fetch(w http.ResponseWriter, r *http.Request) {
	keys, ok := readKeys(w, r)
	if !ok {
		return
	}
	if err := h.check(keys); err != nil {
		failWith(w, err)
		return
	}
	below := r.URL.Query().Get("below") == "1"
	w.Header().Set("Content-Type", artifacts.PackType)
	started := &startedWriter{ResponseWriter: w}
	// What is little is read as a whole before its beginning is sent.
	out := bufio.NewWriterSize(started, 64<<10)
	err := h.store.send(r.Context(), h.routes.Team(r), keys, below, h.within != nil, out)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		h.failSending(started, r, err)
	}
}

// failSending tells that not all objects could be sent.
func (h *handler) failSending(w *startedWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // nobody listens any more
	}
	status := http.StatusNotFound
	if notFound := (*runtime.NotFoundError)(nil); !errors.As(err, &notFound) {
		status, err = http.StatusInternalServerError, fmt.Errorf("the server cannot read what it has stored: %w", err)
		h.store.options.Logger.Error("sending objects failed", "error", err)
	}
	if w.started {
		// The status is sent, and the pack has no end.
		w.Header().Set(http.TrailerPrefix+artifacts.ErrorTrailer, strings.Join(strings.Fields(err.Error()), " "))
		return
	}
	fail(w.ResponseWriter, status, err)
}

// check refuses objects that are not served.
func (h *handler) check(keys []artifacts.Key) error {
	if h.within == nil {
		return nil
	}
	within, err := h.within()
	if err != nil {
		return err
	}
	for _, key := range keys {
		if _, ok := within[key]; !ok {
			return &runtime.NotFoundError{Kind: "object", Name: key.String()}
		}
	}
	return nil
}

// startedWriter remembers whether anything was written.
type startedWriter struct {
	http.ResponseWriter
	started bool
}

func (w *startedWriter) Write(p []byte) (int, error) {
	w.started = true
	return w.ResponseWriter.Write(p)
}

// failWith answers with the status that an error has.
func failWith(w http.ResponseWriter, err error) {
	var format *artifacts.FormatError
	var digest *artifacts.DigestError
	var tree *TreeError
	var size *SizeError
	var body *http.MaxBytesError
	var notFound *runtime.NotFoundError
	switch {
	case errors.As(err, &size), errors.As(err, &body):
		fail(w, http.StatusRequestEntityTooLarge, err)
	case errors.As(err, &format), errors.As(err, &digest), errors.As(err, &tree):
		fail(w, http.StatusUnprocessableEntity, err)
	case errors.As(err, &notFound):
		fail(w, http.StatusNotFound, err)
	case errors.Is(err, context.Canceled):
		// Nobody listens any more.
	default:
		fail(w, http.StatusInternalServerError, err)
	}
}

func fail(w http.ResponseWriter, status int, err error) {
	w.Header().Del("Content-Length")
	http.Error(w, err.Error(), status)
}
