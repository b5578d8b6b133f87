package execute

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"midge/client"
)

type fullDisk struct{}

var errFull = errors.New("no space left on device")

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

// Who is given a part of a file is told so, and of which.
func TestCatOfAFileThatIsCut(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/info") {
			io.WriteString(w, `{"version":"9.9.9","midge":{"features":["artifacts"]}}`)
			return
		}
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "a part of it")
		w.(http.Flusher).Flush() // what has not begun to come is asked for again
		panic(http.ErrAbortHandler)
	}))
	defer server.Close()
	c, err := client.New(client.Options{URL: server.URL, Team: "main"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var got bytes.Buffer
	err = Cat(t.Context(), c, 34, "report.txt", &got)
	if got.String() != "a part of it" || err == nil ||
		!strings.HasPrefix(err.Error(), `of the file "report.txt" of artifact 34 only the first 12 bytes came (unexpected EOF): try again`) {
		t.Errorf("it wrote %q and said %v", got.String(), err)
	}
	if err := Cat(t.Context(), c, 34, "report.txt", fullDisk{}); !errors.Is(err, errFull) || strings.Contains(err.Error(), "came") {
		t.Errorf("of a disk that is full it says %v", err)
	}
}
