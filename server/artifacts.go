package server

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"midge/api"
	"midge/artifacts"
	"midge/artifacts/store"
	"midge/runtime"
	"midge/server/state"
)

// createArtifact makes an artifact of the archive in the body.
func (s *Server) createArtifact(w http.ResponseWriter, r *http.Request) {
	team := r.PathValue("team")
	artifact, err := s.ingest(r.Context(), team, r.Body)
	if err == nil {
		artifact, err = s.database.CreateArtifact(r.Context(), team, artifact)
	}
	var (
		broken   *runtime.TarError
		tooLarge *store.SizeError
	)
	switch {
	case errors.As(err, &tooLarge):
		fail(w, http.StatusRequestEntityTooLarge, "%v", tooLarge)
	case errors.As(err, &broken):
		fail(w, http.StatusBadRequest, "the archive cannot be unpacked: %v", broken)
	case err != nil:
		s.fail(w, r, err)
	default:
		answer(w, http.StatusCreated, artifact)
	}
}

// ingest keeps the tree in an archive.
func (s *Server) ingest(ctx context.Context, team string, body io.Reader) (api.Artifact, error) {
	archive, err := decompress(body)
	if err != nil {
		return api.Artifact{}, err
	}
	defer archive.Close()
	digest, files, bytes, err := s.artifacts.IngestTar(ctx, team, archive)
	if err != nil {
		return api.Artifact{}, err
	}
	return api.Artifact{CreatedAt: time.Now().Unix(), Digest: digest, Files: files, Bytes: bytes}, nil
}

// listArtifacts gives the team's artifacts, the newest first.
func (s *Server) listArtifacts(w http.ResponseWriter, r *http.Request) {
	limit := defaultArtifacts
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			fail(w, http.StatusBadRequest, "limit %q is no number of artifacts", text)
			return
		}
		limit = min(n, maxArtifacts)
	}
	artifacts, err := s.database.TeamArtifacts(r.Context(), r.PathValue("team"), limit)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	answer(w, http.StatusOK, artifacts)
}

// How many artifacts are listed.
const (
	defaultArtifacts = 100
	maxArtifacts     = 10_000
)

// getArtifact sends the artifact of the path as an archive, or a file of it that the
// query names. Who accepts JSON gets its row.
func (s *Server) getArtifact(w http.ResponseWriter, r *http.Request) {
	artifact, ok := s.artifactOfPath(w, r)
	if !ok {
		return
	}
	if r.Header.Get("Accept") == "application/json" {
		answer(w, http.StatusOK, artifact.Artifact)
		return
	}
	s.sendArtifact(w, r, artifact)
}

// sendArtifact sends an artifact as an archive, or a file of it that the query names.
func (s *Server) sendArtifact(w http.ResponseWriter, r *http.Request, artifact state.Artifact) {
	tree, err := s.artifacts.Tree(r.Context(), artifact.Team, artifact.Digest)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if file := r.URL.Query().Get("file"); file != "" {
		s.sendFile(w, r, tree, artifact, file)
		return
	}
	archive, err := tree.StreamOut(r.Context(), ".")
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer archive.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	// The archive is compressed, not its transfer: who asks for no compression gets gzip.
	if err := compress(w, archive, r.Header.Get("Accept-Encoding")); err != nil {
		s.cutShort(r, artifact, err)
	}
}

// sendFile sends the content of a file of an artifact. A symlink is followed.
func (s *Server) sendFile(w http.ResponseWriter, r *http.Request, tree *store.Tree, artifact state.Artifact, file string) {
	// The tree follows a symlink that a name comes after.
	entry, at, err := tree.Find(file + "/.")
	missing := (*runtime.NotFoundError)(nil)
	switch {
	case errors.As(err, &missing):
		fail(w, http.StatusNotFound, "artifact %d has no file %q", artifact.ID, file)
		return
	case err != nil:
		s.fail(w, r, err)
		return
	case entry.Type == artifacts.TypeDirectory:
		fail(w, http.StatusBadRequest, "%q is a directory of artifact %d: fetch the artifact to have it", file, artifact.ID)
		return
	}
	archive, err := tree.StreamOut(r.Context(), at)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer archive.Close()
	entries := tar.NewReader(archive)
	if _, err := entries.Next(); err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(entry.Size, 10))
	if _, err := io.Copy(w, entries); err != nil {
		s.cutShort(r, artifact, err)
	}
}

// cutShort ends an answer that failed half way: half an artifact must not look like a
// whole one.
func (s *Server) cutShort(r *http.Request, artifact state.Artifact, err error) {
	if r.Context().Err() == nil {
		s.log.ErrorContext(r.Context(), "sending an artifact failed", "artifact", artifact.ID, "error", err)
	}
	panic(http.ErrAbortHandler)
}

// artifactOfPath gives the artifact of the path, or else answers the request. One of
// another team is not there.
func (s *Server) artifactOfPath(w http.ResponseWriter, r *http.Request) (state.Artifact, bool) {
	text := r.PathValue("artifact")
	id, err := strconv.Atoi(text)
	if err != nil {
		notFound(w, "artifact %q", text)
		return state.Artifact{}, false
	}
	artifact, err := s.database.Artifact(r.Context(), id)
	if err != nil {
		s.fail(w, r, err)
		return state.Artifact{}, false
	}
	if artifact.Team != r.PathValue("team") {
		notFound(w, "artifact %d", id)
		return state.Artifact{}, false
	}
	return artifact, true
}

// treeHandler is the protocol by which only that of a tree is sent which the other
// end lacks.
func (s *Server) treeHandler(prefix string) http.Handler {
	return s.artifacts.Handler(store.Routes{
		Prefix:  prefix,
		Team:    func(r *http.Request) string { return r.PathValue("team") },
		Created: s.nameTree,
	})
}

// nameTree makes an artifact of a tree that a team has sent.
func (s *Server) nameTree(w http.ResponseWriter, r *http.Request, tree *store.Tree) {
	artifact, err := s.database.CreateArtifact(r.Context(), r.PathValue("team"), api.Artifact{
		Name:      r.URL.Query().Get("name"),
		CreatedAt: time.Now().Unix(),
		Digest:    tree.Handle(),
		Files:     tree.Files(),
		Bytes:     tree.Bytes(),
	})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	answer(w, http.StatusCreated, artifact)
}

// treesInUse gives the digests of the trees that containers have as inputs.
func (s *Server) treesInUse(ctx context.Context) ([]string, error) {
	containers, err := s.database.Containers(ctx, state.ContainerFilter{})
	if err != nil {
		return nil, err
	}
	builds := map[int]bool{}
	var digests []string
	for _, container := range containers {
		if builds[container.BuildID] {
			continue
		}
		builds[container.BuildID] = true
		inputs, err := s.inputTrees(ctx, container.BuildID)
		if err != nil {
			return nil, err
		}
		digests = append(digests, inputs...)
	}
	return digests, nil
}

// inputTrees gives the digests of the artifacts that a build begins with.
func (s *Server) inputTrees(ctx context.Context, buildID int) ([]string, error) {
	build, err := s.database.Build(ctx, buildID)
	if err != nil {
		return nil, err
	}
	var digests []string
	for step := range build.Plan.All() {
		if step.ArtifactInput == nil {
			continue
		}
		artifact, err := s.database.Artifact(ctx, step.ArtifactInput.ArtifactID)
		if missing := (*state.NotFoundError)(nil); errors.As(err, &missing) {
			continue
		}
		if err != nil {
			return nil, err
		}
		digests = append(digests, artifact.Digest)
	}
	return digests, nil
}
