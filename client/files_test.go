package client

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// cutFile serves a file, and cuts each connection after a few bytes of it. From the
// connection of that number on it is another file.
type cutFile struct {
	content string
	changes int
	served  int
}

func (f *cutFile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.served++
	tag := fmt.Sprintf(`"%v"`, f.changes > 0 && f.served >= f.changes)
	from := 0
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err == nil && r.Header.Get("If-Range") != tag {
		from = 0
	}
	w.Header().Set("ETag", tag)
	w.Header().Set("Content-Length", fmt.Sprint(len(f.content)-from))
	if from > 0 {
		w.WriteHeader(http.StatusPartialContent)
	}
	end := min(from+4, len(f.content))
	w.Write([]byte(f.content[from:end]))
	if end < len(f.content) {
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

func TestCatFileOverBrokenConnections(t *testing.T) {
	const content = "0123456789abcde"
	for name, test := range map[string]struct {
		file cutFile
		want string
		err  error
	}{
		"the same":       {cutFile{content: content}, content, nil},
		"changed":        {cutFile{content: content, changes: 2}, content[:4], ErrFileChanged},
		"changed later":  {cutFile{content: content, changes: 4}, content[:12], ErrFileChanged},
		"empty":          {cutFile{}, "", nil},
		"not cut at all": {cutFile{content: "0123"}, "0123", nil},
	} {
		t.Run(name, func(t *testing.T) {
			server := quietServer(&test.file)
			defer server.Close()
			c := testClient(t, server.URL, nil)
			var got strings.Builder
			if err := c.CatFile(t.Context(), "handle", "path", &got); !errors.Is(err, test.err) || test.err == nil && err != nil {
				t.Errorf("got error %v, want %v", err, test.err)
			}
			if got.String() != test.want {
				t.Errorf("got %q, want %q", got.String(), test.want)
			}
		})
	}
}

// failingWriter takes nothing.
type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// An error of who reads does not have the server asked again.
func TestCatFileToAWriterThatFails(t *testing.T) {
	file := &cutFile{content: "0123"}
	server := quietServer(file)
	defer server.Close()
	full := errors.New("disk full")
	if err := testClient(t, server.URL, nil).CatFile(t.Context(), "handle", "path", failingWriter{full}); !errors.Is(err, full) {
		t.Errorf("got %v, want the writer's error", err)
	}
	if file.served != 1 {
		t.Errorf("the server was asked %d times", file.served)
	}
}
