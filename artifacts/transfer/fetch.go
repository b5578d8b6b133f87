package transfer

import (
	"context"
	"errors"
	"fmt"
	"os"

	"midge/artifacts"
	"midge/artifacts/scan"
)

// FetchOptions says how to fetch. The zero value leaves alone what is only here.
type FetchOptions struct {
	// Delete removes what the tree does not have.
	Delete bool
	// CacheDir is where digests and trees are remembered: midge's directory in
	// os.UserCacheDir. Fetches with the same one wait for each other when they write
	// to the same directory. "" remembers nothing, and waits for nobody.
	CacheDir string
	// Objects is a directory, made if it is not there, where what arrives is kept
	// beside, and where it is looked for first. Any number of fetches may share one,
	// of any trees. What none has used for a week is removed. "" keeps nothing.
	Objects string
	// Progress is told how it goes on; nil for nobody.
	Progress Progress
}

// FetchReceipt says what a Fetch has done. Bytes are before compression unless
// they say otherwise.
type FetchReceipt struct {
	Digest string `json:"digest"`
	// Files and Bytes are the tree's.
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"`
	// FetchedFiles counts the files of which some content was fetched, or found in
	// FetchOptions.Objects, FetchedBytes that content.
	FetchedFiles int64 `json:"fetched_files"`
	FetchedBytes int64 `json:"fetched_bytes"`
	// FetchedCompressed is what came over the wire, names of files included.
	FetchedCompressed int64 `json:"fetched_compressed"`
	// Requests counts the round trips.
	Requests int64 `json:"requests"`
	// Deleted names what was removed because the tree does not have it.
	Deleted []string `json:"deleted,omitempty"`
}

// ConflictError tells that a directory with something in it lies where the tree has none.
type ConflictError struct {
	Path string
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%q is a directory here and none in the artifact; move it away, or have it removed with --delete", e.Path)
}

// CaseError tells that two names differ in case alone and the directory cannot hold both.
type CaseError struct {
	Dir, A, B string
}

func (e *CaseError) Error() string {
	return fmt.Sprintf("%q and %q in %q of the artifact are the same name to this file system; fetch it to one that tells them apart", e.A, e.B, e.Dir)
}

// stagingName is the directory below the destination in which files are written
// before they are moved to their place. What a Fetch that broke has left there is
// used by the next.
const stagingName = ".midge-fetch"

// Fetch makes the directory dir, made if it is not there, have what the tree of
// that digest has. What is only in dir stays, unless Delete is set. A file is
// moved to its place when it is complete, and nothing is moved before everything
// has arrived. Nothing outside dir is written, whatever the tree or dir holds.
func Fetch(ctx context.Context, remote *Remote, digest, dir string, options FetchOptions) (receipt FetchReceipt, err error) {
	root, err := artifacts.ParseDigest(digest)
	if err != nil {
		return FetchReceipt{}, err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return FetchReceipt{}, fmt.Errorf("make directory %q: %w", dir, err)
	}
	unlock, err := lockDestination(ctx, options.CacheDir, dir)
	if err != nil {
		return FetchReceipt{}, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	top, err := os.OpenRoot(dir)
	if err != nil {
		return FetchReceipt{}, fmt.Errorf("open directory %q: %w", dir, err)
	}
	defer func() { err = errors.Join(err, top.Close()) }()
	f := &fetcher{remote: remote, options: options, dir: dir, top: top, staged: make(map[string]struct{})}
	f.receipt.Digest = digest
	if f.objects, err = openObjects(options.Objects); err != nil {
		return f.receipt, fmt.Errorf("open the objects that are shared: %w", err)
	}
	err = f.fetch(ctx, root)
	return f.receipt, err
}

// fetcher fetches one tree.
type fetcher struct {
	remote  *Remote
	options FetchOptions
	objects *objects // nil when none are kept
	dir     string
	top     *os.Root
	tree    *fetchedTree
	local   *scan.Tree                // of the paths that the tree has
	there   map[string]scan.Directory // its directories
	staged  map[string]struct{}       // the paths of files that come from the stage
	receipt FetchReceipt
}

func (f *fetcher) fetch(ctx context.Context, root artifacts.Digest) error {
	var err error
	if f.tree, err = f.fetchTree(ctx, root); err != nil {
		return err
	}
	if f.tree.top.find(stagingName) != nil {
		return fmt.Errorf("the artifact has a %q, which is where files are fetched to", stagingName)
	}
	f.receipt.Bytes, f.receipt.Files = artifacts.Totals(f.tree.top.entries)
	if f.local, err = f.scanLocal(ctx); err != nil {
		return err
	}
	if err := f.checkConflicts(); err != nil {
		return err
	}
	stage, err := f.openStage(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(stage.fetch(ctx), stage.close()); err != nil {
		return err
	}
	if err := f.apply(ctx); err != nil {
		return err
	}
	if f.objects != nil {
		f.objects.collect()
	}
	return f.tree.memory.save()
}

// scanLocal finds the digests of what is at the paths of the tree.
func (f *fetcher) scanLocal(ctx context.Context) (*scan.Tree, error) {
	options := scan.Options{Scope: &pathScope{f.tree.top}, IncludeGit: true}
	if f.options.Progress != nil {
		options.Progress = f.options.Progress.Scanned
	}
	if f.options.CacheDir != "" {
		path, err := scan.CachePath(f.options.CacheDir, f.dir)
		if err != nil {
			return nil, err
		}
		options.Cache = scan.OpenCache(path)
	}
	return scan.Scan(ctx, f.dir, options)
}
