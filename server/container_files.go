package server

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"midge/api"
	"midge/artifacts/store"
	"midge/runtime"
)

// filesOfPath gives the files of the container of the path, and the path in it that the
// query names, or else answers the request. The container is kept meanwhile, as for
// who is in it.
func (s *Server) filesOfPath(w http.ResponseWriter, r *http.Request) (files runtime.Files, name string, ok bool) {
	row, container, ok := s.containerToEnter(w, r)
	if !ok {
		return nil, "", false
	}
	if err := s.engine.Use(r.Context(), row.Handle, time.Now().Add(useHold), requester(r).user()); err != nil {
		s.failFiles(w, r, err)
		return nil, "", false
	}
	name = r.URL.Query().Get("path")
	if name == "" {
		name = "."
	}
	return container.Files(), name, true
}

// failFiles answers a request about files that failed.
func (s *Server) failFiles(w http.ResponseWriter, r *http.Request, err error) {
	var (
		missing  *runtime.NotFoundError
		broken   *runtime.TarError
		tooLarge *store.SizeError
	)
	switch {
	case errors.As(err, &missing) && missing.Kind == "path":
		answer(w, http.StatusNotFound, map[string][]string{"errors": {fmt.Sprintf("there is no file or directory %q in the container", r.URL.Query().Get("path"))}})
	case errors.As(err, &missing):
		s.failForMissing(w, r, r.PathValue("container"))
	case errors.As(err, &broken):
		fail(w, http.StatusBadRequest, "the files cannot be put there: %v", broken)
	case errors.As(err, &tooLarge):
		fail(w, http.StatusRequestEntityTooLarge, "%v", tooLarge)
	default:
		s.fail(w, r, err)
	}
}

// answerFiles gives a handler that answers with what find gives of the files of the
// container of the path.
func answerFiles[T any](s *Server, find func(files runtime.Files, ctx context.Context, name string) (T, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		files, name, ok := s.filesOfPath(w, r)
		if !ok {
			return
		}
		found, err := find(files, r.Context(), name)
		if err != nil {
			s.failFiles(w, r, err)
			return
		}
		answer(w, http.StatusOK, found)
	}
}

// changesOf gives what a container has changed of what it was given, wherever.
func changesOf(files runtime.Files, ctx context.Context, _ string) ([]api.FileChange, error) {
	return files.Changes(ctx)
}

// getFile sends the content of a file of a container: from a byte on, when the request
// has a Range and the file is still the one of its If-Range.
func (s *Server) getFile(w http.ResponseWriter, r *http.Request) {
	files, name, ok := s.filesOfPath(w, r)
	if !ok {
		return
	}
	file, err := files.Stat(r.Context(), name)
	if err != nil {
		s.failFiles(w, r, err)
		return
	}
	if file.Type != api.FileRegular {
		fail(w, http.StatusBadRequest, "%q is no file but a %s: midge ls lists it, and midge cp copies directories", name, typeInWords(file.Type))
		return
	}
	archive, err := files.StreamOut(r.Context(), name)
	if err != nil {
		s.failContent(w, r, name, err)
		return
	}
	defer archive.Close()
	content := tar.NewReader(archive)
	header, err := content.Next()
	if err != nil {
		s.failContent(w, r, name, err)
		return
	}
	tag := fmt.Sprintf(`"%x-%x"`, header.Size, file.Modified.UnixNano())
	from := rangeFrom(r, tag, header.Size)
	if _, err := io.CopyN(io.Discard, content, from); err != nil {
		s.failFiles(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", tag)
	w.Header().Set("Content-Length", strconv.FormatInt(header.Size-from, 10))
	if from > 0 {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, header.Size-1, header.Size))
		w.WriteHeader(http.StatusPartialContent)
	}
	if _, err := io.Copy(w, content); err != nil {
		s.cutFile(r, err)
	}
}

// failContent answers a request for the content of a file that was there.
func (s *Server) failContent(w http.ResponseWriter, r *http.Request, name string, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		fail(w, http.StatusNotFound, "%q has just been removed, or is made by the kernel when it is read, as those in /proc and /sys: such a file can be read in the container, by midge hijack ... -- cat", name)
		return
	}
	s.failFiles(w, r, err)
}

func typeInWords(is api.FileType) string {
	if is == api.FileOther {
		return "device, socket or named pipe"
	}
	return string(is)
}

// rangeFrom gives the first byte that a request asks for, of a file of that tag and
// size. What is no range to a file's end is the whole file, as HTTP allows.
func rangeFrom(r *http.Request, tag string, size int64) int64 {
	text, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes=")
	first, last, found := strings.Cut(text, "-")
	from, err := strconv.ParseInt(first, 10, 64)
	if !ok || !found || last != "" || err != nil || from < 0 || from >= size || r.Header.Get("If-Range") != tag {
		return 0
	}
	return from
}

// cutFile ends an answer that failed half way, so that it does not look like a whole one.
func (s *Server) cutFile(r *http.Request, err error) {
	if r.Context().Err() == nil {
		s.log.ErrorContext(r.Context(), "sending a file of a container failed", "container", r.PathValue("container"), "error", err)
	}
	panic(http.ErrAbortHandler)
}

// takeFiles makes a tree of what lies at a path of a container, to be fetched by its
// content. It is no artifact, and gone some time after.
func (s *Server) takeFiles(w http.ResponseWriter, r *http.Request) {
	files, name, ok := s.filesOfPath(w, r)
	if !ok {
		return
	}
	archive, err := files.StreamOut(r.Context(), name)
	if err != nil {
		s.failFiles(w, r, err)
		return
	}
	defer archive.Close()
	digest, count, bytes, err := s.artifacts.IngestTar(r.Context(), r.PathValue("team"), archive)
	if err != nil {
		s.failFiles(w, r, err)
		return
	}
	answer(w, http.StatusOK, api.Artifact{CreatedAt: time.Now().Unix(), Digest: digest, Files: count, Bytes: bytes})
}

// containerTrees is the protocol by which a tree is sent into a container: only that of
// it which the server lacks.
func (s *Server) containerTrees(prefix string) http.Handler {
	return s.artifacts.Handler(store.Routes{
		Prefix:  prefix,
		Team:    func(r *http.Request) string { return r.PathValue("team") },
		Created: s.putFiles,
	})
}

// putFiles unpacks a tree that a team has sent at a path of a container. With the
// parameter as it is a tree with one file, which gets that name.
func (s *Server) putFiles(w http.ResponseWriter, r *http.Request, tree *store.Tree) {
	files, name, ok := s.filesOfPath(w, r)
	if !ok {
		return
	}
	stream, err := tree.StreamOut(r.Context(), ".")
	if err != nil {
		s.failFiles(w, r, err)
		return
	}
	defer stream.Close()
	if as := r.URL.Query().Get("as"); as != "" {
		stream = renamed(stream, as)
		defer stream.Close()
	}
	if err := files.StreamIn(r.Context(), name, stream); err != nil {
		s.failFiles(w, r, err)
		return
	}
	answer(w, http.StatusOK, api.Artifact{CreatedAt: time.Now().Unix(), Digest: tree.Handle(), Files: tree.Files(), Bytes: tree.Bytes()})
}

// renamed gives the first file of a tar stream, alone and by another name.
func renamed(stream io.Reader, name string) io.ReadCloser {
	reader, writer := io.Pipe()
	go func() { writer.CloseWithError(rename(writer, stream, path.Base(name))) }()
	return reader
}

func rename(to io.Writer, from io.Reader, name string) error {
	entries := tar.NewReader(from)
	for {
		header, err := entries.Next()
		if err != nil {
			return fmt.Errorf("find the file to put there: %w", err)
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		header.Name = name
		archive := tar.NewWriter(to)
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := io.Copy(archive, entries); err != nil {
			return err
		}
		return archive.Close()
	}
}
