package state

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"midge/api"
)

// openTest opens a new database that has the teams main and other.
func openTest(t *testing.T) *Database {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "midge.db"))
}

func openAt(t *testing.T, path string) *Database {
	t.Helper()
	db, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, team := range []string{"main", "other"} {
		if _, err := db.EnsureTeam(t.Context(), team); err != nil {
			t.Fatal(err)
		}
	}
	return db
}

// wantNotFound checks that err is a *NotFoundError of that kind.
func wantNotFound(t *testing.T, err error, kind string) {
	t.Helper()
	if notFound, ok := errors.AsType[*NotFoundError](err); !ok || notFound.Kind != kind {
		t.Errorf("got error %v, want that the %s is not found", err, kind)
	}
}

func TestOpenMakesDatabaseThatOnlyItsOwnerReads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a dir?with #odd%20name", "midge.db")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	openAt(t, path)
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, entry := range entries {
		names[entry.Name()] = true
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", entry.Name(), info.Mode())
		}
	}
	if !names["midge.db"] || !names["midge.db-wal"] {
		t.Errorf("the directory has %v, want midge.db and midge.db-wal in it", names)
	}
}

func TestOpenWithoutDirectory(t *testing.T) {
	_, err := Open(t.Context(), filepath.Join(t.TempDir(), "none", "midge.db"))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got error %v, want one that says that the directory does not exist", err)
	}
}

func TestOpenOfSomethingElse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "midge.db")
	text := bytes.Repeat([]byte("no database\n"), 1000)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path); err == nil {
		t.Error("a text file was opened as a database")
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, text) {
		t.Errorf("the file was changed (%v)", err)
	}
}

func TestOpenRefusesNewerSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "midge.db")
	openAt(t, path)
	raw, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := raw.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), path)
	newer, ok := errors.AsType[*NewerError](err)
	if !ok {
		t.Fatalf("got error %v, want a *NewerError", err)
	}
	if newer.Path != path || newer.Schema != 99999 || newer.Known < 1 || newer.Known >= newer.Schema {
		t.Errorf("got %+v", newer)
	}
}

func TestReopenKeepsEverything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "midge.db")
	db, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.EnsureTeam(t.Context(), "main"); err != nil {
		t.Fatal(err)
	}
	made := createBuild(t, db, "main")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := openAt(t, path).Build(t.Context(), made.ID)
	if err != nil || got.Build != made.Build {
		t.Errorf("got %+v, %v; want %+v", got.Build, err, made.Build)
	}
}

// writerEnv tells a copy of the test program to write builds into the database of
// that path until it is killed, printing the id of each that is acknowledged.
const writerEnv = "MIDGE_STATE_TEST_WRITER"

func TestMain(m *testing.M) {
	if path := os.Getenv(writerEnv); path != "" {
		if err := writeUntilKilled(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func writeUntilKilled(path string) error {
	ctx := context.Background()
	db, err := Open(ctx, path)
	if err != nil {
		return err
	}
	if _, err := db.EnsureTeam(ctx, "main"); err != nil {
		return err
	}
	for {
		build, _, err := db.CreateBuild(ctx, NewBuild{Team: "main", Plan: taskPlan()})
		if err != nil {
			return err
		}
		if _, err := db.StartBuild(ctx, build.ID, time.Now()); err != nil {
			return err
		}
		fmt.Println(build.ID)
	}
}

func TestKilledWriterLosesNothingAcknowledged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "midge.db")
	last := 0
	for round := range 3 {
		writer := exec.CommandContext(t.Context(), os.Args[0])
		writer.Env = append(os.Environ(), writerEnv+"="+path)
		writer.Stderr = os.Stderr
		stdout, err := writer.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := writer.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(stdout)
		for n := 0; lines.Scan(); n++ {
			if last, err = strconv.Atoi(lines.Text()); err != nil {
				t.Fatal(err)
			}
			if n == 20+7*round {
				if err := writer.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := writer.Wait(); err == nil {
			t.Fatal("the writer was not killed")
		}
	}
	db := openAt(t, path)
	builds, err := db.Builds(t.Context(), BuildFilter{To: last, Limit: last})
	if err != nil {
		t.Fatal(err)
	}
	if len(builds) != last {
		t.Fatalf("%d builds are there, %d were acknowledged", len(builds), last)
	}
	started := 0
	for _, build := range builds {
		if build.Status == api.StatusStarted {
			started++
		}
	}
	// The build at which a writer was killed may have been made and not yet started.
	if started < last-2 {
		t.Errorf("%d of %d builds are started", started, last)
	}
}

func TestManyGoroutines(t *testing.T) {
	db := openTest(t)
	const goroutines, builds = 16, 10
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range builds {
				build, _, err := db.CreateBuild(t.Context(), NewBuild{Team: "main", Plan: taskPlan()})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := db.StartBuild(t.Context(), build.ID, time.Now()); err != nil {
					t.Error(err)
				}
				if got, err := db.Build(t.Context(), build.ID); err != nil || got.Status != api.StatusStarted {
					t.Errorf("build %d is %q (%v) after it was started", build.ID, got.Status, err)
				}
				if _, err := db.FinishBuild(t.Context(), build.ID, api.StatusSucceeded, time.Now()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	all, err := db.Builds(t.Context(), BuildFilter{Status: []api.BuildStatus{api.StatusSucceeded}, Limit: 1000})
	if err != nil || len(all) != goroutines*builds {
		t.Errorf("%d builds succeeded (%v), want %d", len(all), err, goroutines*builds)
	}
}

func TestOnlyOneFinishes(t *testing.T) {
	db := openTest(t)
	build := createBuild(t, db, "main")
	var wg sync.WaitGroup
	won := make(chan api.BuildStatus, 8)
	for i := range 8 {
		wg.Go(func() {
			status := []api.BuildStatus{api.StatusSucceeded, api.StatusAborted}[i%2]
			finished, err := db.FinishBuild(t.Context(), build.ID, status, time.Now())
			if err != nil {
				t.Error(err)
			}
			if finished {
				won <- status
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d of 8 finished the build, want 1", len(won))
	}
	if got, err := db.Build(t.Context(), build.ID); err != nil || got.Status != <-won {
		t.Errorf("the build is %q (%v), not what the one who finished it said", got.Status, err)
	}
}
