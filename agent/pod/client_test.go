package pod

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"midge/agent"
	"midge/runtime"
)

// What a first process does to processes is tested in pods, by runtime/kubernetes.
// Here is what needs none: volumes, and connections that are cut.

// newServer serves a directory with a volume, and gives a client whose connections
// cut cuts.
func newServer(t *testing.T) (client *Client, dir string, cut func()) {
	t.Helper()
	dir = t.TempDir()
	if err := Install(dir, 1); err != nil {
		t.Fatal(err)
	}
	s := &server{dir: dir, client: agent.NewClient(filepath.Join(dir, runDir)), quit: make(chan struct{}), changed: make(chan struct{})}
	listener, err := s.listen()
	if err != nil {
		t.Fatal(err)
	}
	httpServer := newHTTPServer(s.handler(t.Context()))
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = httpServer.Serve(listener)
	}()
	t.Cleanup(func() {
		httpServer.Close()
		<-served
	})
	var mu sync.Mutex
	var conns []net.Conn
	client = NewClient(func(ctx context.Context) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, runDir, socketFile))
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			conns = append(conns, conn)
		}
		return conn, err
	})
	t.Cleanup(client.Close)
	return client, dir, func() {
		mu.Lock()
		defer mu.Unlock()
		for _, conn := range conns {
			conn.Close()
		}
		conns = nil
	}
}

func tarOf(t *testing.T, name, contents string) []byte {
	t.Helper()
	var stream bytes.Buffer
	w := tar.NewWriter(&stream)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(contents))}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, contents); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return stream.Bytes()
}

func TestRequestsAreMadeAgain(t *testing.T) {
	client, _, cut := newServer(t)
	for range 5 {
		state, err := client.State(t.Context())
		if err != nil || state.Ready {
			t.Fatalf("State gave %+v, %v", state, err)
		}
		cut()
	}
}

// Wherever a connection is cut, and whatever it says of that, a request is made again.
func TestRequestsAreMadeAgainWhereverTheyAreCut(t *testing.T) {
	served, _, _ := newServer(t)
	for name, limit := range map[string]func(*severed, int){
		"reading": func(s *severed, n int) { s.toRead = n },
		"writing": func(s *severed, n int) { s.toWrite = n },
	} {
		t.Run(name, func(t *testing.T) {
			for n, dials := 0, 0; dials != 1; n++ { // until the first is not cut any more
				dials = 0
				client := NewClient(func(ctx context.Context) (net.Conn, error) {
					conn, err := served.dial(ctx)
					if dials++; dials > 1 || err != nil {
						return conn, err
					}
					first := &severed{Conn: conn, toRead: math.MaxInt, toWrite: math.MaxInt}
					limit(first, n)
					return first, nil
				})
				if n%2 == 0 {
					if state, err := client.State(t.Context()); err != nil || state.Ready {
						t.Errorf("cut after %d bytes State gave %+v, %v", n, state, err)
					}
				} else if _, err := client.Process(t.Context(), "missing"); !isMissing(err) {
					t.Errorf("cut after %d bytes a process that is not there gave %v", n, err)
				}
				client.Close()
			}
		})
	}
}

// A severed connection passes on some bytes, and then fails as a stream into a pod does
// whose container is killed.
type severed struct {
	net.Conn
	toRead, toWrite int
}

func (s *severed) Read(p []byte) (int, error) {
	if s.toRead == 0 {
		return 0, errors.New("command terminated with exit code 137")
	}
	n, err := s.Conn.Read(p[:min(len(p), s.toRead)])
	s.toRead -= n
	return n, err
}

func (s *severed) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p[:min(len(p), s.toWrite)])
	if s.toWrite -= n; err == nil && n < len(p) {
		err = io.ErrClosedPipe
	}
	return n, err
}

// A stream that was sent in part is not sent on by a connection made later.
func TestCutStreamIsSentFromItsStart(t *testing.T) {
	client, dir, cut := newServer(t)
	stream := tarOf(t, "file", strings.Repeat("x", 1<<20))
	r, w := io.Pipe()
	go func() {
		w.Write(stream[:1<<19])
		cut()
		// Who reads it is told only when it reads on.
		w.Write(stream[1<<19:])
		w.Close()
	}()
	err := client.StreamIn(t.Context(), 0, ".", r)
	r.Close()
	if cut := (*CutError)(nil); !errors.As(err, &cut) {
		t.Fatalf("StreamIn over a connection that was cut gave %v", err)
	}
	if err := client.StreamIn(t.Context(), 0, ".", bytes.NewReader(stream)); err != nil {
		t.Fatal(err)
	}
	if contents, err := os.ReadFile(filepath.Join(dir, VolumeDir(0), "file")); err != nil || len(contents) != 1<<20 {
		t.Errorf("the file has %d bytes, %v", len(contents), err)
	}
}

func TestStreamThatCannotBeRead(t *testing.T) {
	client, _, _ := newServer(t)
	broken := errors.New("the disk is broken")
	err := client.StreamIn(t.Context(), 0, ".", io.MultiReader(bytes.NewReader(tarOf(t, "file", "text")[:512]), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) {
		t.Errorf("StreamIn gave %v, want %v", err, broken)
	}
}

func TestErrorsArrive(t *testing.T) {
	client, _, _ := newServer(t)
	err := client.StreamIn(t.Context(), 0, ".", strings.NewReader("no tar at all, however long it may be"))
	if refused := (*runtime.TarError)(nil); !errors.As(err, &refused) {
		t.Errorf("a stream that is no tar gave %v (%T)", err, err)
	}
	_, err = client.StreamOut(t.Context(), 0, "missing")
	if missing := (*runtime.NotFoundError)(nil); !errors.As(err, &missing) || missing.Kind != "path" || missing.Name != "missing" {
		t.Errorf("a path that is not there gave %v (%T)", err, err)
	}
	_, err = client.StreamOut(t.Context(), 7, ".")
	if missing := (*runtime.NotFoundError)(nil); !errors.As(err, &missing) || missing.Kind != "volume" {
		t.Errorf("a volume that is not there gave %v (%T)", err, err)
	}
	if _, err = client.Process(t.Context(), "missing"); !isMissing(err) {
		t.Errorf("a process that is not there gave %v (%T)", err, err)
	}
	err = client.Run(t.Context(), agent.Process{ID: "task", Path: "sh"})
	if err == nil || !strings.Contains(err.Error(), "not configured") {
		t.Errorf("a process of a container that is not configured gave %v", err)
	}
}

func isMissing(err error) bool {
	refused := (*agent.Error)(nil)
	return errors.As(err, &refused) && refused.Kind == agent.ErrorNotFound
}

func TestDialErrors(t *testing.T) {
	gone := errors.New("the pod is gone")
	client := NewClient(func(context.Context) (net.Conn, error) { return nil, gone })
	defer client.Close()
	if _, err := client.State(t.Context()); !errors.Is(err, gone) {
		t.Errorf("State gave %v, want %v", err, gone)
	}
}

func TestCloseEndsDialing(t *testing.T) {
	client := NewClient(func(ctx context.Context) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := client.State(ctx)
		ended <- err
	}()
	client.Close()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) && !errors.Is(err, ErrClosed) {
		t.Errorf("State gave %v", err)
	}
	if _, err := client.State(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("State of a closed client gave %v, want %v", err, ErrClosed)
	}
}

func TestImageEnvironment(t *testing.T) {
	got := imageEnvironment([]string{
		"PATH=/bin", "HOSTNAME=pod", "HOME=/root", "KUBERNETES_SERVICE_HOST=10.0.0.1", "KUBERNETES_PORT=tcp://", "LANG=C", "HOME_PAGE=x",
	})
	if want := []string{"PATH=/bin", "LANG=C", "HOME_PAGE=x"}; !slices.Equal(got, want) {
		t.Errorf("the image's environment is %q, want %q", got, want)
	}
}
