package transfer

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"

	"midge/artifacts"
	"midge/artifacts/ignore"
	"midge/artifacts/scan"
	"midge/trace"
)

// SendOptions says what to send, and how. The zero value sends what no rule ignores.
type SendOptions struct {
	// IncludeIgnored takes what ignore files leave out, IncludeGit what is named .git.
	IncludeIgnored, IncludeGit bool
	// Only, if not "", is the name of the one entry of the directory that is sent.
	Only string
	// CacheDir is where digests, and what servers are known to have, are remembered:
	// midge's directory in os.UserCacheDir. "" remembers nothing.
	CacheDir string
	// Objects is a directory as FetchOptions.Objects is, where what the tree has is kept
	// beside, but files that were not read because CacheDir remembers them. "" keeps nothing.
	Objects string
	// Query goes with the request that names the tree: the artifact's name and so on.
	Query url.Values
	// DryRun finds out what would be sent, and sends nothing and names nothing.
	DryRun bool
	// Confirm is asked before any content is sent, with what is to be sent so far as
	// the receipt has it. An error ends the Send. nil agrees.
	Confirm func(ctx context.Context, receipt *Receipt) error
	// Progress is told how it goes on; nil for nobody.
	Progress Progress
}

// errNotSettled tells of a server that keeps asking for what it was sent.
var errNotSettled = errors.New("the server still lacks parts of the tree after all of it was sent")

// Send brings the directory dir to the server. It gives what was done and the
// server's answer to the request that named the tree. A file that changes while
// it is sent has the directory scanned once more; if that happens again it is a
// *scan.ChangedError.
func Send(ctx context.Context, remote *Remote, dir string, options SendOptions) (Receipt, []byte, error) {
	receipt, created, err := send(ctx, remote, dir, options)
	var changed *scan.ChangedError
	if errors.As(err, &changed) {
		return send(ctx, remote, dir, options)
	}
	return receipt, created, err
}

func send(ctx context.Context, remote *Remote, dir string, options SendOptions) (Receipt, []byte, error) {
	objects, err := openObjects(options.Objects)
	if err != nil {
		return Receipt{}, nil, fmt.Errorf("open the objects that are shared: %w", err)
	}
	tree, err := scanInput(ctx, dir, options, objects)
	if err != nil {
		return Receipt{}, nil, err
	}
	if objects != nil {
		objects.putTree(tree)
		objects.collect()
	}
	top, err := os.OpenRoot(dir)
	if err != nil {
		return Receipt{}, nil, fmt.Errorf("open directory %q: %w", dir, err)
	}
	defer top.Close()
	s := &sender{remote: remote, options: options, tree: tree, top: top}
	s.receipt = Receipt{Digest: tree.Root.String(), Files: tree.Files, Bytes: tree.Bytes, ReadFiles: tree.Read}
	s.receipt.Ignore(tree.Ignored)
	if s.memory, err = openMemory(options.CacheDir, remote.name(), dir); err != nil {
		return Receipt{}, nil, err
	}
	if options.DryRun {
		return s.receipt, nil, s.estimate(ctx)
	}
	created, err := s.send(ctx)
	return s.receipt, created, err
}

// scanInput walks the directory and finds the digests of what is in it. What it reads it
// keeps among the objects, unless they are nil.
func scanInput(ctx context.Context, dir string, options SendOptions, objects *objects) (*scan.Tree, error) {
	scanning := scan.Options{IncludeGit: options.IncludeGit}
	if options.Progress != nil {
		scanning.Progress = options.Progress.Scanned
	}
	if objects != nil {
		scanning.Object = func(key artifacts.Key, record []byte) error {
			objects.put(key, record)
			return nil
		}
	}
	switch {
	case options.Only != "":
		scanning.Scope = only(options.Only)
	case !options.IncludeIgnored:
		scope, err := ignore.Open(ctx, dir)
		if err != nil {
			return nil, err
		}
		scanning.Scope = scope
	}
	if options.CacheDir != "" {
		path, err := scan.CachePath(options.CacheDir, dir)
		if err != nil {
			return nil, err
		}
		scanning.Cache = scan.OpenCache(path)
	}
	return scan.Scan(ctx, dir, scanning)
}

// sender sends one tree.
type sender struct {
	remote  *Remote
	options SendOptions
	tree    *scan.Tree
	top     *os.Root
	memory  *memory

	mu      sync.Mutex // held to count what has arrived
	receipt Receipt

	lists map[artifacts.Digest][]artifacts.Chunk // of large files that were read for them
}

// maxRounds bounds the questions: one for each level of directories, and some for
// what a server loses meanwhile.
const maxRounds = artifacts.MaxPath/2 + 16

// send asks what the server lacks and sends it, until that is nothing: first the
// trees, which tell what contents there are, then the contents.
func (s *sender) send(ctx context.Context) ([]byte, error) {
	confirmed := false
	for range maxRounds {
		s.receipt.Requests++
		created, lacks, err := s.negotiate(ctx)
		if err != nil {
			return nil, err
		}
		if lacks == nil {
			s.receipt.DeduplicatedBytes = s.receipt.Bytes - s.receipt.SentBytes
			s.memory.save(s.tree)
			return created, nil
		}
		trees, err := s.lackedTrees(lacks)
		if err != nil {
			return nil, err
		}
		if len(trees) > 0 {
			if err := s.sendPacks(ctx, func(ctx context.Context) error { return s.sendTrees(ctx, trees) }); err != nil {
				return nil, err
			}
			continue
		}
		contents, err := s.lackedContents(lacks)
		if err != nil {
			return nil, err
		}
		if len(contents.files) == 0 {
			return nil, errNotSettled
		}
		if !confirmed {
			if err := s.confirm(ctx, contents); err != nil {
				return nil, err
			}
			confirmed = true
		}
		if err := s.sendPacks(ctx, func(ctx context.Context) error { return s.sendContents(ctx, contents) }); err != nil {
			return nil, err
		}
	}
	return nil, errNotSettled
}

// negotiate asks the server to name the tree, which says what it lacks of it.
func (s *sender) negotiate(ctx context.Context) (created []byte, lacks *lacking, err error) {
	ctx, span := trace.StartSpan(ctx, "negotiate")
	defer func() { span.End(err) }()
	return s.remote.tree(ctx, s.tree.Root, s.options.Query)
}

// sendPacks has packs be sent, and says how much that was.
func (s *sender) sendPacks(ctx context.Context, send func(context.Context) error) (err error) {
	ctx, span := trace.StartSpan(ctx, "send")
	before := s.sentCompressed()
	defer func() {
		span.Set(trace.Bytes(s.sentCompressed() - before))
		span.End(err)
	}()
	return send(ctx)
}

func (s *sender) sentCompressed() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.receipt.SentCompressed
}

func (s *sender) confirm(ctx context.Context, contents *contents) error {
	contents.describe(&s.receipt)
	if s.options.Confirm != nil {
		if err := s.options.Confirm(ctx, &s.receipt); err != nil {
			return err
		}
	}
	if s.options.Progress != nil {
		s.options.Progress.Total(contents.bytes)
	}
	// What was described was what is to be sent; from here on the receipt counts.
	s.receipt.SentFiles, s.receipt.SentBytes = 0, 0
	return nil
}
