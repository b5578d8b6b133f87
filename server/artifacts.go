package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"midge/api"
	"midge/artifacts/store"
	"midge/runtime"
	"midge/server/state"
)

// transferTimeout is how long a transfer of an artifact may stand still.
const transferTimeout = time.Minute

// createArtifact makes an artifact of the archive in the body.
func (s *Server) createArtifact(w http.ResponseWriter, r *http.Request) {
	team := r.PathValue("team")
	artifact, err := s.ingest(r.Context(), team, &patientReader{r.Body, http.NewResponseController(w)})
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

// getArtifact sends the artifact of the path as an archive.
func (s *Server) getArtifact(w http.ResponseWriter, r *http.Request) {
	artifact, ok := s.artifactOfPath(w, r)
	if !ok {
		return
	}
	tree, err := s.artifacts.Open(r.Context(), artifact.Team, artifact.Digest)
	if err != nil {
		s.fail(w, r, err)
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
	err = compress(&patientWriter{w, http.NewResponseController(w)}, archive, r.Header.Get("Accept-Encoding"))
	if err != nil {
		if r.Context().Err() == nil {
			s.log.ErrorContext(r.Context(), "sending an artifact failed", "artifact", artifact.ID, "error", err)
		}
		// Half an archive must not look like a whole one.
		panic(http.ErrAbortHandler)
	}
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

// patientReader reads a body for as long as it does not stand still.
type patientReader struct {
	io.Reader
	controller *http.ResponseController
}

func (p *patientReader) Read(b []byte) (int, error) {
	_ = p.controller.SetReadDeadline(time.Now().Add(transferTimeout))
	return p.Reader.Read(b)
}

// patientWriter writes a body for as long as it does not stand still.
type patientWriter struct {
	io.Writer
	controller *http.ResponseController
}

func (p *patientWriter) Write(b []byte) (int, error) {
	_ = p.controller.SetWriteDeadline(time.Now().Add(transferTimeout))
	return p.Writer.Write(b)
}
