package server_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"midge/server/servertest"
)

// startServer starts a server that ends with the test.
func startServer(t testing.TB, options servertest.Options) *servertest.Server {
	t.Helper()
	s, err := servertest.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// user sends requests to a server as one user.
type user struct {
	t     *testing.T
	url   string
	token string
}

// testUser is the user that every test server has.
func testUser(t *testing.T, s *servertest.Server) *user {
	t.Helper()
	return logIn(t, s, servertest.User, servertest.Password)
}

func logIn(t *testing.T, s *servertest.Server, name, password string) *user {
	t.Helper()
	token, err := s.Login(t.Context(), name, password)
	if err != nil {
		t.Fatal(err)
	}
	return &user{t, s.URL, token}
}

// open sends a request and gives the response, whose body the caller closes.
func (u *user) open(method, path string, header map[string]string, body io.Reader) *http.Response {
	u.t.Helper()
	request, err := http.NewRequestWithContext(u.t.Context(), method, u.url+path, body)
	if err != nil {
		u.t.Fatal(err)
	}
	if u.token != "" {
		request.Header.Set("Authorization", "Bearer "+u.token)
	}
	for name, value := range header {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		u.t.Fatal(err)
	}
	return response
}

// do sends a request and gives the status and the body of the response.
func (u *user) do(method, path, body string) (int, string) {
	u.t.Helper()
	response := u.open(method, path, nil, strings.NewReader(body))
	return response.StatusCode, readAll(u.t, response)
}

func readAll(t *testing.T, response *http.Response) string {
	t.Helper()
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// want checks that a request gets that status, and gives the body.
func (u *user) want(status int, method, path, body string) string {
	u.t.Helper()
	got, answer := u.do(method, path, body)
	if got != status {
		u.t.Fatalf("%s %s: got status %d, want %d: %s", method, path, got, status, answer)
	}
	return answer
}

// tarOf makes a tar stream of files by name.
func tarOf(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for name, content := range files {
		header := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func gzipped(t *testing.T, b []byte) []byte {
	t.Helper()
	var buffer bytes.Buffer
	w := gzip.NewWriter(&buffer)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

// filesOf reads the files of a tar stream.
func filesOf(t *testing.T, r io.Reader) map[string]string {
	t.Helper()
	files := map[string]string{}
	for reader := tar.NewReader(r); ; {
		header, err := reader.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag == tar.TypeReg {
			files[strings.TrimPrefix(header.Name, "./")] = string(content)
		}
	}
}

// filesWith gives the files below dir that have the text in them.
func filesWith(t *testing.T, dir, text string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte(text)) {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
