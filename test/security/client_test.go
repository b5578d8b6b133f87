package security

import (
	"archive/tar"
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"midge/test/realserver"
)

// hostile is what a hostile server puts wherever a text is expected: it changes the
// terminal's title, clears it and rings its bell.
const hostile = `\u001b]0;owned\u0007\u001b[2J\u009bm evil\r`

// control finds what a terminal obeys, but for line ends.
var control = regexp.MustCompile("[\x00-\x09\x0b-\x1f\x7f]|\u009b")

// A server cannot make the terminal do what it wants by names and errors.
func TestHostileServersTexts(t *testing.T) {
	var requests atomic.Int64
	mux := http.NewServeMux()
	answers := map[string]string{
		"/api/v1/info":                     `{"version":"8.0.0","worker_version":"2.5","cluster_name":"H"}`,
		"/api/v1/user":                     `{"name":"H","user_name":"H","is_admin":false,"teams":{"main":["H"]},"display_user_id":"H"}`,
		"/api/v1/teams":                    `[{"id":1,"name":"H","auth":{}}]`,
		"/api/v1/builds":                   `[{"id":1,"name":"H","team_name":"H","status":"H","created_by":"H","api_url":"H"}]`,
		"/api/v1/workers":                  `[{"name":"H","platform":"H","state":"H","version":"H","tags":["H"],"team":"H"}]`,
		"/api/v1/teams/main/containers":    `[{"id":"H","worker_name":"H","build_id":1,"step_name":"H","type":"H","state":"H","working_directory":"H"}]`,
		"/api/v1/teams/main/volumes":       `[{"id":"H","worker_name":"H","type":"H","path":"H"}]`,
		"/api/v1/teams/main/artifacts":     `[{"id":1,"name":"H","digest":"H"}]`,
		"/api/v1/status":                   `{"verdict":"H","time":1,"version":"H","parts":[{"name":"H","verdict":"H","finding":"H"}]}`,
		"/api/v1/builds/1/usage":           `{"steps":[{"name":"H"}]}`,
		"/api/v1/teams/main/sessions":      `[]`,
		"/api/v1/teams/main/artifacts/all": `[]`,
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		answer, ok := answers[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, strings.NewReplacer(`\u001b`, "\x1b", `\u0007`, "\x07", `\u009b`, "\u009b", `\r`, "\r").Replace(hostile))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, strings.ReplaceAll(answer, "H", hostile))
	})
	fake := httptest.NewServer(mux)
	defer fake.Close()
	s := start(t) // for its CLI and home
	s.Write("home/.flyrc", "targets:\n  evil:\n    api: "+fake.URL+"\n    team: main\n    token: {type: bearer, value: x}\n")
	for _, command := range []string{
		"builds", "workers", "containers", "volumes", "teams", "userinfo", "artifacts ls", "status --details", "status",
		"watch -b 1", "abort-build -b 1", "usage 1", "trace 1", "hijack -b 1 -- true", "land-worker -w x",
	} {
		before := requests.Load()
		r := realserver.Run(t, s.Command(t.Context(), append([]string{"-t", "evil"}, strings.Fields(command)...)...))
		if requests.Load() == before {
			t.Errorf("%s has not asked the server: %s", command, r.Stderr)
		}
		if found := control.FindString(r.Stdout + r.Stderr); found != "" {
			t.Errorf("%s prints %q in %q", command, found, r.Stdout+r.Stderr)
		}
	}
}

// A token goes to the server that it is for, wherever that says to go.
func TestTokensAreNotSentElsewhere(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.URL.Path+" "+r.Header.Get("Authorization"))
	}))
	defer elsewhere.Close()
	var redirected atomic.Int64
	redirecting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		redirected.Add(1)
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer redirecting.Close()
	s := start(t)
	s.Write("home/.flyrc", "targets:\n  evil:\n    api: "+redirecting.URL+"\n    team: main\n    token: {type: bearer, value: the-token}\n")
	for _, command := range []string{"builds", "status", "userinfo", "curl /api/v1/builds"} {
		realserver.Run(t, s.Command(t.Context(), append([]string{"-t", "evil"}, strings.Fields(command)...)...))
	}
	if redirected.Load() == 0 {
		t.Error("the client has not asked the server that redirects")
	}
	mu.Lock()
	defer mu.Unlock()
	for _, request := range asked {
		if strings.Contains(request, "the-token") {
			t.Errorf("another server was sent %s", request)
		}
	}
}

// An archive that a server sends is unpacked where it is to be, and nowhere else.
func TestHostileServersArchive(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	entries := []tar.Header{
		{Name: "../escaped", Typeflag: tar.TypeReg, Mode: 0o644, Size: 4},
		{Name: "/" + outside, Typeflag: tar.TypeReg, Mode: 0o644, Size: 4},
		{Name: "link", Typeflag: tar.TypeSymlink, Linkname: filepath.Dir(outside)},
		{Name: "link/outside", Typeflag: tar.TypeReg, Mode: 0o644, Size: 4},
		{Name: "hard", Typeflag: tar.TypeLink, Linkname: "../../../../../../etc/passwd"},
		{Name: "device", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 1},
	}
	for _, entry := range entries {
		t.Run(entry.Name, func(t *testing.T) {
			var sent atomic.Int64
			fake := httptest.NewServer(sendingArchive(&sent, entries[2], entry))
			defer fake.Close()
			s := start(t)
			s.Write("home/.flyrc", "targets:\n  evil:\n    api: "+fake.URL+"\n    team: main\n    token: {type: bearer, value: x}\n")
			s.Write("home/deep/keep", "")
			task := s.Script("task", "true", "outputs: [{name: out}]\n")
			r := s.Midge("-t", "evil", "execute", "-c", task, "-o", "out="+s.Path("home/deep/out"))
			if sent.Load() == 0 {
				t.Errorf("the client has not asked for the archive: %+v", r)
			}
			for _, path := range []string{outside, s.Path("home/deep/escaped"), s.Path("home/escaped"), s.Path("home/deep/out/device")} {
				if _, err := os.Lstat(path); err == nil {
					t.Errorf("the archive made %s", path)
				}
			}
			if info, err := os.Lstat(s.Path("home/deep/out/hard")); err == nil {
				t.Errorf("the archive linked a file of the machine: %v", info)
			}
		})
	}
}

// sendingArchive is a Concourse that runs every build at once, and gives those entries
// as its output.
func sendingArchive(sent *atomic.Int64, entries ...tar.Header) http.Handler {
	mux := http.NewServeMux()
	for path, answer := range map[string]string{
		"GET /api/v1/info":               `{"version":"8.0.0","worker_version":"2.5"}`,
		"GET /api/v1/builds/1":           `{"id":1,"name":"1","team_name":"main","status":"succeeded"}`,
		"POST /api/v1/teams/main/builds": `{"id":1,"name":"1","team_name":"main","status":"started"}`,
		"GET /api/v1/builds/1/resources": `{"inputs":[],"outputs":[]}`,
		"GET /api/v1/builds/1/artifacts": `[{"id":1,"name":"out","build_id":1}]`,
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if r.Method == "POST" {
				w.WriteHeader(http.StatusCreated)
			}
			fmt.Fprint(w, answer)
		})
	}
	mux.HandleFunc("GET /api/v1/builds/1/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		fmt.Fprint(w, "id: 0\nevent: event\ndata: {\"data\":{\"status\":\"succeeded\",\"time\":1},\"event\":\"status\",\"version\":\"1.0\"}\n\nid: 1\nevent: end\ndata\n\n")
	})
	mux.HandleFunc("GET /api/v1/teams/main/artifacts/1", func(w http.ResponseWriter, r *http.Request) {
		sent.Add(1)
		compressed := gzip.NewWriter(w)
		archive := tar.NewWriter(compressed)
		for _, entry := range entries {
			// What the client makes of half an archive is a part of the attack.
			_ = archive.WriteHeader(&entry)
			if entry.Size > 0 {
				_, _ = fmt.Fprint(archive, "evil")
			}
		}
		_ = archive.Close()
		_ = compressed.Close()
	})
	return mux
}
