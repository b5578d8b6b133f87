package server

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"midge/api"
	"midge/runtime"
	"midge/runtime/runtimetest"
)

// shortDir is a directory whose path leaves room for the name of a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "midge")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func testConfig(dir string) Config {
	return Config{
		DataDir: filepath.Join(dir, "data"),
		OpenWorkers: func(context.Context, string) ([]runtime.Worker, func(), error) {
			return []runtime.Worker{runtimetest.NewWorker(runtimetest.Config{})}, nil, nil
		},
		Listen: "127.0.0.1:0",
		Socket: filepath.Join(dir, "run", "midge.sock"),
		Log:    slog.New(slog.DiscardHandler),
	}
}

// mustNew makes a server that is shut down at the end of the test.
func mustNew(t *testing.T, config Config) *Server {
	t.Helper()
	s, err := New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// wantFailure checks that no server comes up, for a reason of one line, and that it
// leaves the directory as it was.
func wantFailure(t *testing.T, dir string, config Config, reason string) {
	t.Helper()
	before := namesIn(t, dir)
	s, err := New(t.Context(), config)
	if err == nil {
		s.Shutdown(t.Context())
		t.Fatalf("a server came up, want %q", reason)
	}
	if !strings.Contains(err.Error(), reason) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %q, want one line with %q", err, reason)
	}
	if after := namesIn(t, dir); after != before {
		t.Errorf("it has left\n%s\nbefore there was\n%s", after, before)
	}
}

// namesIn gives the names of all files below dir.
func namesIn(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		names = append(names, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, "\n")
}

func TestPortTaken(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dir := shortDir(t)
	config := testConfig(dir)
	config.Listen = listener.Addr().String()
	wantFailure(t, dir, config, "another program listens on "+config.Listen)
}

func TestAddressesThatAreNone(t *testing.T) {
	dir := shortDir(t)
	config := testConfig(dir)
	for _, address := range []string{"none", "8080", "127.0.0.1:web-page", "127.0.0.1:99999", "[::1", "http://127.0.0.1:8080"} {
		config.Listen = address
		wantFailure(t, dir, config, strconv.Quote(address)+" is no address to listen on: write --listen as HOST:PORT")
	}
	config.Listen = "203.0.113.1:0" // of those for documentation
	wantFailure(t, dir, config, "this machine does not have the address 203.0.113.1:0")
}

func TestUsersThatCannotBe(t *testing.T) {
	dir := shortDir(t)
	config := testConfig(dir)
	config.Users = []LocalUser{{Name: "ann", Password: "a"}, {Name: "ann", Password: "b"}}
	wantFailure(t, dir, config, `there are two local users "ann"`)
	config.Users, config.MainOwners = config.Users[:1], []string{"bob"}
	wantFailure(t, dir, config, `there is no local user "bob"`)
}

func TestNothingToListenOn(t *testing.T) {
	dir := shortDir(t)
	config := testConfig(dir)
	config.Listen, config.Socket = "", ""
	wantFailure(t, dir, config, "nothing to listen on")
}

func TestSecondServerOnDataDir(t *testing.T) {
	dir := shortDir(t)
	config := testConfig(dir)
	mustNew(t, config)
	config.Socket = filepath.Join(dir, "other.sock")
	wantFailure(t, dir, config, "the data dir "+config.DataDir+" is in use by another server")
}

func TestLiveSocket(t *testing.T) {
	dir := shortDir(t)
	config := testConfig(dir)
	mustNew(t, config)
	config.DataDir = filepath.Join(dir, "data2")
	wantFailure(t, dir, config, "the socket "+config.Socket+" is in use by another server")
}

func TestSocketPathThatIsAFile(t *testing.T) {
	dir := shortDir(t)
	config := testConfig(dir)
	config.Socket = filepath.Join(dir, "file")
	if err := os.WriteFile(config.Socket, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, dir, config, "is there and is no socket")
}

// A server that was killed leaves its socket.
func TestStaleSocketIsReplaced(t *testing.T) {
	dir := shortDir(t)
	config := testConfig(dir)
	config.Socket = filepath.Join(dir, "midge.sock")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: config.Socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(config.Socket)
	if err != nil || info.Mode() != os.ModeSocket|0o660 {
		t.Errorf("the socket has mode %v, %v; want 0660", info.Mode(), err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(config.Socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the server has left its socket (%v)", err)
	}
}

func TestSocketOfAnotherServerIsLeft(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, "s")
	first, err := listenSocket(path, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second, err := listenSocket(path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("unix", path); err != nil {
		t.Errorf("the second server's socket is gone: %v", err)
	}
}

func TestDataDirOfNewerServer(t *testing.T) {
	dir := shortDir(t)
	config := testConfig(dir)
	s, err := New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	makeNewer(t, filepath.Join(config.DataDir, "midge.db"))
	wantFailure(t, dir, config, "was written by a newer midge-server")
}

// makeNewer makes a database one of a version that nobody has seen yet.
func makeNewer(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// damageTable overwrites where a table of a database begins, and its indices.
func damageTable(t *testing.T, path, table string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := db.Query(`SELECT (rootpage - 1) * page_size, page_size FROM sqlite_master, pragma_page_size WHERE tbl_name = ? AND rootpage > 0`, table)
	if err != nil {
		t.Fatal(err)
	}
	pages := make(map[int64]int) // sizes by offsets
	for rows.Next() {
		var at int64
		var size int
		if err := rows.Scan(&at, &size); err != nil {
			t.Fatal(err)
		}
		pages[at] = size
	}
	// What its log has is in its place once it is closed.
	if err := errors.Join(rows.Err(), rows.Close(), db.Close()); err != nil || len(pages) == 0 {
		t.Fatalf("the table %s has %d pages: %v", table, len(pages), err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at, size := range pages {
		copy(content[at:], bytes.Repeat([]byte{0xa5}, size))
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// What a server cannot do without says so when it is damaged; of what else is damaged the
// status tells when it is met.
func TestDamagedDatabase(t *testing.T) {
	dir := shortDir(t)
	config := testConfig(dir)
	stopped := func() string {
		s, err := New(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		return s.dir.databasePath()
	}
	damageTable(t, stopped(), "teams")
	wantFailure(t, dir, config, "restore a backup")

	config.DataDir = filepath.Join(dir, "other")
	damageTable(t, stopped(), "wall")
	s := mustNew(t, config)
	if _, err := s.lookAtDatabase(t.Context()); err != nil {
		t.Errorf("nothing that is damaged was read, and the status says %v", err)
	}
	if _, err := s.database.Wall(t.Context()); err == nil {
		t.Error("what is damaged was read")
	}
	found := (*finding)(nil)
	if _, err := s.lookAtDatabase(t.Context()); !errors.As(err, &found) || found.verdict != api.VerdictCritical || !strings.Contains(found.text, "is damaged") {
		t.Errorf("of a damaged database the status says %v", err)
	}
}

func TestDataDirThatIsAFile(t *testing.T) {
	dir := shortDir(t)
	config := testConfig(dir)
	if err := os.WriteFile(config.DataDir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, dir, config, "make the data dir")
}

func TestWorkersThatDoNotOpen(t *testing.T) {
	dir := shortDir(t)
	config := testConfig(dir)
	config.OpenWorkers = func(context.Context, string) ([]runtime.Worker, func(), error) {
		return nil, nil, errors.New("neither runc nor crun is on PATH: install runc")
	}
	wantFailure(t, dir, config, "install runc")
	// One that is there stays, and can be used by the next server.
	if err := os.Mkdir(config.DataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := New(t.Context(), config); err == nil {
		t.Fatal("a server came up without workers")
	}
	mustNew(t, testConfig(dir))
}
