package pod

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"midge/artifacts/store"
)

// newStore gives a store, and its handler for a team.
func newStore(t *testing.T) (*store.Store, http.Handler) {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), "store"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, s.Handler(store.Routes{
		Team:    func(*http.Request) string { return "main" },
		Created: func(w http.ResponseWriter, _ *http.Request, _ *store.Tree) { w.WriteHeader(http.StatusCreated) },
	})
}

// exchangeIn has what is in dir follow an order over a stream.
func exchangeIn(t *testing.T, dir string, order Order, trees ...http.Handler) (Report, error) {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- errors.Join(followOver(t.Context(), theirs, dir), theirs.Close())
	}()
	report, err := Exchange(t.Context(), ours, order, trees)
	if err := <-done; err != nil {
		t.Error(err)
	}
	return report, err
}

func followOver(ctx context.Context, stream net.Conn, dir string) error {
	client, err := streamClient(ctx, stream)
	if err != nil {
		return err
	}
	e := &exchange{dir: dir, stream: client}
	given, err := e.order(ctx)
	if err != nil {
		return err
	}
	return e.report(ctx, e.follow(ctx, given))
}

func TestExchange(t *testing.T) {
	s, handler := newStore(t)
	from, to := t.TempDir(), t.TempDir()
	for _, dir := range []string{from, to} {
		if err := Install(dir, 2); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(VolumeDir(1), "file")
	if err := os.WriteFile(filepath.Join(from, file), []byte(strings.Repeat("text\n", 1<<20)), 0o644); err != nil {
		t.Fatal(err)
	}
	sent, err := exchangeIn(t, from, Order{Trees: []Tree{{Volume: 1}}}, handler)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := s.Tree(t.Context(), "main", sent.Digests[0])
	if err != nil {
		t.Fatal(err)
	}
	direct := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		TreesHandler([]http.Handler{tree.Objects()}).ServeHTTP(w, r)
	}))
	order := Order{Trees: []Tree{{Volume: 1, Digest: tree.Handle()}}, Cache: filepath.Join(to, "cache"), URL: direct.URL}
	refused := http.NotFoundHandler() // what comes, comes by the URL
	got, err := exchangeIn(t, to, order, refused)
	if err != nil || got.Bytes == 0 || got.Unreachable != "" {
		t.Fatalf("%+v, %v", got, err)
	}
	if err := os.Remove(filepath.Join(to, file)); err != nil {
		t.Fatal(err)
	}
	// Nothing has to come again, and who is not reached is said.
	direct.Close()
	if got, err = exchangeIn(t, to, order, refused); err != nil || got.Bytes != 0 || got.Unreachable == "" {
		t.Errorf("%+v, %v", got, err)
	}
	if text, err := os.ReadFile(filepath.Join(to, file)); err != nil || len(text) != 5<<20 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	// What the server refuses is the error.
	order.Cache = ""
	if err := os.Remove(filepath.Join(to, file)); err != nil {
		t.Fatal(err)
	}
	if _, err = exchangeIn(t, to, order, refused); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("a server that refuses gave %v", err)
	}
}

func TestExchangeThatIsCut(t *testing.T) {
	ours, theirs := net.Pipe()
	go theirs.Close()
	_, err := Exchange(t.Context(), ours, Order{}, nil)
	if cut := (*CutError)(nil); !errors.As(err, &cut) {
		t.Errorf("it gave %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ours, theirs = net.Pipe()
	defer theirs.Close()
	cancel()
	if _, err := Exchange(ctx, ours, Order{}, nil); !errors.Is(err, context.Canceled) && err == nil {
		t.Errorf("it gave %v", err)
	}
}
