package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"midge/artifacts"
	"midge/artifacts/scan"
	"midge/runtime"
)

// named is a set of digests that rows name.
type named struct {
	mu      sync.Mutex
	digests map[string]struct{}
}

func (n *named) add(digest string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.digests == nil {
		n.digests = make(map[string]struct{})
	}
	n.digests[digest] = struct{}{}
}

func (n *named) remove(digest string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.digests, digest)
}

func (n *named) roots(context.Context) ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var digests []string
	for digest := range n.digests {
		digests = append(digests, digest)
	}
	return digests, nil
}

// verify fails the test when the store is not as it should be.
func verify(t testing.TB, s *Store, roots func(context.Context) ([]string, error)) Verified {
	t.Helper()
	v, err := s.Verify(t.Context(), roots)
	must(t, err)
	if len(v.Problems) > 0 {
		t.Fatalf("the store has %d problems: %s", len(v.Problems), strings.Join(v.Problems, "; "))
	}
	return v
}

// smallTree fills a directory with files some of which other seeds have as well.
func smallTree(t testing.TB, seed int) string {
	t.Helper()
	dir := t.TempDir()
	for i := range 8 {
		name := filepath.Join(dir, fmt.Sprintf("%d/file", i))
		must(t, os.MkdirAll(filepath.Dir(name), 0o755))
		must(t, os.WriteFile(name, bytesOf(uint64(seed>>i), 2000), 0o644))
	}
	setTimes(t, dir)
	return dir
}

func ingest(t testing.TB, s *Store, team, dir string) string {
	t.Helper()
	digest, _, _, err := s.Ingest(t.Context(), team, localDir(dir))
	must(t, err)
	return digest
}

// old makes a store in which nothing is too young to be collected.
func old(t testing.TB) *Store {
	s := open(t, Options{Grace: time.Nanosecond})
	return s
}

// age makes what is stored look as if it had been for long.
func age(s *Store) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.packs {
		p.created = p.created.Add(-time.Hour)
	}
}

func TestCollectKeepsWhatIsNamed(t *testing.T) {
	s := old(t)
	var rows named
	keep, drop := smallTree(t, 0b1010), smallTree(t, 0b1011)
	kept, dropped := ingest(t, s, mainTeam, keep), ingest(t, s, mainTeam, drop)
	ingest(t, s, "other", keep)
	rows.add(kept)
	before := verify(t, s, rows.roots)
	age(s)
	collected, err := s.Collect(t.Context(), rows.roots)
	must(t, err)
	if collected.Removed == 0 || collected.Freed <= 0 {
		t.Errorf("collected %+v", collected)
	}
	after := verify(t, s, rows.roots)
	if after.Objects >= before.Objects {
		t.Errorf("%d objects before, %d after", before.Objects, after.Objects)
	}
	for _, name := range []string{mainTeam, "other"} {
		if _, err := s.Open(t.Context(), name, kept); err != nil {
			t.Errorf("team %s: %v", name, err)
		}
	}
	var notFound *runtime.NotFoundError
	if _, err := s.Open(t.Context(), mainTeam, dropped); !errors.As(err, &notFound) {
		t.Errorf("what nothing names: %v", err)
	}
	dir, release, err := s.Materialise(t.Context(), kept)
	must(t, err)
	defer release()
	compare(t, listing(t, dir), listing(t, keep))
	// What was removed can be stored again.
	if again := ingest(t, s, mainTeam, drop); again != dropped {
		t.Errorf("%s is %s now", dropped, again)
	}
	reopened := reopen(t, s)
	if _, err := reopened.Open(t.Context(), "other", kept); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}

// reopen gives the store as a new process sees it.
func reopen(t testing.TB, s *Store) *Store {
	t.Helper()
	must(t, s.lock.Close())
	again, err := Open(s.dir, s.options)
	must(t, err)
	t.Cleanup(func() { must(t, again.Close()) })
	s.lock, err = os.Open(os.DevNull)
	must(t, err)
	return again
}

func TestCollectJoinsSmallPacks(t *testing.T) {
	s := old(t)
	var rows named
	for i := range smallAtOnce + 2 {
		rows.add(ingest(t, s, mainTeam, smallTree(t, i<<20)))
	}
	age(s)
	_, err := s.Collect(t.Context(), rows.roots)
	must(t, err)
	if len(s.packs) != 1 {
		t.Errorf("%d packs are left", len(s.packs))
	}
	verify(t, s, rows.roots)
}

func TestCollectKeepsWhatIsYoungOrInUse(t *testing.T) {
	s := old(t)
	var rows named
	digest := ingest(t, s, mainTeam, smallTree(t, 7))
	root, err := artifacts.ParseDigest(digest)
	must(t, err)
	s.options.Grace = time.Hour
	_, err = s.Collect(t.Context(), rows.roots)
	must(t, err)
	if _, err := s.Open(t.Context(), mainTeam, digest); err != nil {
		t.Errorf("what is young: %v", err)
	}
	s.options.Grace = time.Nanosecond
	age(s)
	release := s.leases.hold(root)
	_, err = s.Collect(t.Context(), rows.roots)
	must(t, err)
	if _, err := s.Open(t.Context(), mainTeam, digest); err != nil {
		t.Errorf("what is leased: %v", err)
	}
	release()
	// An upload was told that it is there.
	k := s.newKeeper()
	if there, held := k.find(mainTeam, artifacts.Key{Kind: artifacts.KindTree, Digest: root}); !there || !held {
		t.Fatal("the tree is not there")
	}
	_, err = s.Collect(t.Context(), rows.roots)
	must(t, err)
	if _, err := s.Open(t.Context(), mainTeam, digest); err != nil {
		t.Errorf("what an upload keeps: %v", err)
	}
	k.close()
	_, err = s.Collect(t.Context(), rows.roots)
	must(t, err)
	if len(s.packs) != 0 || len(s.index) != 0 {
		t.Errorf("%d packs and %d objects are left that nothing needs", len(s.packs), len(s.index))
	}
}

func TestCollectNamesWhatIsLost(t *testing.T) {
	s := old(t)
	lost := artifacts.Sum([]byte("lost")).String()
	kept := ingest(t, s, mainTeam, smallTree(t, 7))
	age(s)
	_, err := s.Collect(t.Context(), func(context.Context) ([]string, error) { return []string{lost, kept}, nil })
	var missing *MissingError
	if !errors.As(err, &missing) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Open(t.Context(), mainTeam, kept); err != nil {
		t.Error(err)
	}
}

// TestCollectWhileTreesComeAndGo stores, names, reads and forgets trees from many
// goroutines while collections run without pause.
func TestCollectWhileTreesComeAndGo(t *testing.T) {
	s := old(t)
	// Packs are whole seconds old by their footer: make all old enough.
	s.options.Grace = -time.Hour
	var rows named
	var sources []string
	for i := range 12 {
		sources = append(sources, smallTree(t, i*5))
	}
	var done atomic.Bool
	var workers, collector sync.WaitGroup
	collections := 0
	collector.Go(func() {
		for !done.Load() {
			if _, err := s.Collect(context.Background(), rows.roots); err != nil {
				t.Errorf("collect: %v", err)
				return
			}
			collections++
		}
	})
	for worker := range 4 {
		workers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(worker), 1))
			for range 25 {
				if err := comeAndGo(t, s, &rows, sources[worker*3+r.IntN(3)], r); err != nil {
					t.Errorf("worker %d: %v", worker, err)
					return
				}
			}
		})
	}
	workers.Wait()
	done.Store(true)
	collector.Wait()
	if collections == 0 {
		t.Error("no collection ran")
	}
	verify(t, s, rows.roots)
}

// comeAndGo stores a tree, names it, reads it and forgets it. Between the storing
// and the naming it is leased, as the handler leases what it names.
func comeAndGo(t *testing.T, s *Store, rows *named, source string, r *rand.Rand) error {
	ctx := context.Background()
	tree, err := scan.Scan(ctx, source, scan.Options{})
	if err != nil {
		return err
	}
	release := s.leases.hold(tree.Root)
	digest, _, _, err := s.Ingest(ctx, mainTeam, localDir(source))
	if err != nil {
		return fmt.Errorf("ingest: %w", err)
	}
	rows.add(digest)
	release()
	a, err := s.Open(ctx, mainTeam, digest)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if r.IntN(2) == 0 {
		_, release, err := s.Materialise(ctx, digest)
		if err != nil {
			return fmt.Errorf("materialise: %w", err)
		}
		release()
	} else {
		tar, err := a.StreamOut(ctx, ".")
		if err != nil {
			return fmt.Errorf("stream: %w", err)
		}
		if _, _, _, err := s.IngestTar(ctx, "other", tar); err != nil {
			return fmt.Errorf("ingest tar: %w", err)
		}
		if err := tar.Close(); err != nil {
			return err
		}
	}
	if r.IntN(2) == 0 {
		rows.remove(digest)
	}
	return nil
}

const crashDir = "MIDGE_TEST_CRASH_DIR"

// TestKilledInACollection kills a process again and again that stores trees and
// collects, and looks whether what it named is all there.
func TestKilledInACollection(t *testing.T) {
	if dir := os.Getenv(crashDir); dir != "" {
		storeUntilKilled(t, dir)
		return
	}
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(3, 4))
	for range 6 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledInACollection$")
		// What it lays in its own directories goes with those of this test.
		cmd.Env = append(os.Environ(), crashDir+"="+dir, "TMPDIR="+dir)
		stdout, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		lines := bufio.NewScanner(stdout)
		for n := 5 + r.IntN(12); n > 0 && lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "step ") {
				n--
			}
		}
		must(t, cmd.Process.Kill())
		if err := cmd.Wait(); err == nil {
			t.Fatal("the process ended before it was killed")
		}
		checkKilled(t, dir)
	}
}

func checkKilled(t *testing.T, dir string) {
	t.Helper()
	s, err := Open(filepath.Join(dir, "store"), Options{})
	must(t, err)
	defer func() { must(t, s.Close()) }()
	rows := readRows(t, dir)
	verify(t, s, func(context.Context) ([]string, error) { return rows, nil })
	for _, digest := range rows {
		if _, err := s.Open(t.Context(), mainTeam, digest); err != nil {
			t.Errorf("a tree that was named: %v", err)
		}
	}
	left, err := os.ReadDir(filepath.Join(dir, "store", temporaryDir))
	must(t, err)
	if len(left) > 0 {
		t.Errorf("%v is left half made", left)
	}
}

func readRows(t *testing.T, dir string) []string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "rows"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	must(t, err)
	return strings.Fields(string(content))
}

func storeUntilKilled(t *testing.T, dir string) {
	s, err := Open(filepath.Join(dir, "store"), Options{Grace: -time.Hour})
	must(t, err)
	rows := readRows(t, dir)
	var sources []string
	for i := range 6 {
		sources = append(sources, smallTree(t, 3*i))
	}
	var step atomic.Int64
	say := func() { fmt.Printf("step %d\n", step.Add(1)) }
	for i := 0; ; i++ {
		source := sources[i%len(sources)]
		tree, err := scan.Scan(t.Context(), source, scan.Options{})
		must(t, err)
		release := s.leases.hold(tree.Root)
		digest := ingest(t, s, mainTeam, source)
		say()
		rows = append(slices.DeleteFunc(rows, func(other string) bool { return other == digest }), digest)
		if len(rows) > 3 {
			rows = rows[1:]
		}
		must(t, scan.ReplaceFile(filepath.Join(dir, "rows"), []byte(strings.Join(rows, "\n"))))
		release()
		say()
		_, err = s.Collect(t.Context(), func(context.Context) ([]string, error) { say(); return rows, nil })
		must(t, err)
		say()
	}
}
