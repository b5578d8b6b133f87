package store

import (
	"archive/tar"
	"bufio"
	"context"
	"fmt"
	"io"
	"time"

	"midge/artifacts"
)

// tarWriter writes a tree as a tar stream.
type tarWriter struct {
	store *Store
	tar   *tar.Writer
	top   artifacts.Digest // the directory that is streamed
	// base is its path in its tree. Hard links to what is not below it are files of
	// their own.
	base string
}

// writeTar writes what is below a directory, or a file alone, which is at base in its tree.
func (s *Store) writeTar(ctx context.Context, w io.Writer, e artifacts.Entry, base string) error {
	buffered := bufio.NewWriterSize(w, 256<<10)
	t := &tarWriter{store: s, tar: tar.NewWriter(buffered), top: e.Content.Digest, base: base}
	var err error
	if e.Type == artifacts.TypeDirectory {
		err = t.directory(ctx, e.Content.Digest, "")
	} else {
		e.Link = ""
		err = t.write(ctx, &e, e.Name)
	}
	if err != nil {
		return err
	}
	if err := t.tar.Close(); err != nil {
		return err
	}
	return buffered.Flush()
}

func (t *tarWriter) directory(ctx context.Context, digest artifacts.Digest, at string) error {
	entries, err := t.store.entries(digest)
	if err != nil {
		return err
	}
	for i := range entries {
		name := entries[i].Name
		if at != "" {
			name = at + "/" + name
		}
		if err := t.write(ctx, &entries[i], name); err != nil {
			return err
		}
		if entries[i].Type == artifacts.TypeDirectory {
			if err := t.directory(ctx, entries[i].Content.Digest, name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *tarWriter) write(ctx context.Context, e *artifacts.Entry, name string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	header := &tar.Header{Name: name, Mode: int64(e.Mode), Format: tar.FormatPAX}
	if e.ModTime != 0 {
		header.ModTime = time.Unix(0, e.ModTime)
	}
	switch e.Type {
	case artifacts.TypeDirectory:
		header.Typeflag, header.Name = tar.TypeDir, name+"/"
	case artifacts.TypeSymlink:
		header.Typeflag, header.Linkname, header.Mode = tar.TypeSymlink, e.Target, 0o777
	case artifacts.TypeFile:
		header.Typeflag, header.Size = tar.TypeReg, e.Size
		link, linked, err := t.store.link(t.top, t.base, name, e)
		if err != nil {
			return err
		}
		if linked {
			header.Typeflag, header.Linkname, header.Size = tar.TypeLink, link, 0
		}
	}
	if err := t.tar.WriteHeader(header); err != nil {
		return fmt.Errorf("write %q into a tar stream: %w", name, err)
	}
	if header.Typeflag != tar.TypeReg {
		return nil
	}
	return t.content(e)
}

func (t *tarWriter) content(e *artifacts.Entry) error {
	keys, err := t.store.chunks(e)
	if err != nil {
		return err
	}
	for _, key := range keys {
		record, err := t.store.record(key)
		if err != nil {
			return err
		}
		if _, err := t.tar.Write(record); err != nil {
			return err
		}
	}
	return nil
}
