package security

import (
	"archive/tar"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"midge/test/realserver"
)

// hostile is what a hostile server puts wherever a text is expected: it changes the
// terminal's title, clears it, rings its bell, and has what follows read backwards.
const hostile = `\u001b]0;owned\u0007\u001b[2J\u009bm evil\u202e\r`

// control finds what a terminal obeys, but for line ends.
var control = regexp.MustCompile("[\x00-\x09\x0b-\x1f\x7f-\u009f\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]")

// The ids of what a hostile server has, which may not be hostile for it to be asked for.
const (
	hostileHandle = "b1-0123456789ab"
	hostileTrace  = "0af7651916cd43dd8448eb211c80319c"
)

// hostileAnswers are what a hostile server answers, with H for the hostile text.
var hostileAnswers = map[string]string{
	"/api/v1/info":                                   `{"version":"8.0.0","worker_version":"2.5","cluster_name":"H"}`,
	"/api/v1/user":                                   `{"name":"H","user_name":"H","is_admin":false,"teams":{"main":["H"]},"display_user_id":"H"}`,
	"/api/v1/teams":                                  `[{"id":1,"name":"H","auth":{"owner":{"users":["H"],"groups":["H"]}}}]`,
	"/api/v1/tokens":                                 `[{"id":1,"name":"H","user":"H","created_at":1}]`,
	"/api/v1/wall":                                   `{"message":"H"}`,
	"/api/v1/builds":                                 `[` + hostileBuild + `]`,
	"/api/v1/builds/1":                               hostileBuild,
	"/api/v1/builds/1/usage":                         `{"steps":[{"name":"H","worker":"H","step":"H"}],"system":{"worker":"H"}}`,
	"/api/v1/builds/1/artifacts":                     `[{"id":1,"name":"H","build_id":1,"digest":"H"}]`,
	"/api/v1/builds/1/hold":                          `[` + hostileContainer + `]`,
	"/api/v1/workers":                                `[{"name":"H","platform":"H","state":"H","version":"H","tags":["H"],"team":"H","runtime":"H","waits":"H"}]`,
	"/api/v1/teams/main/containers":                  `[` + hostileContainer + `]`,
	"/api/v1/teams/main/volumes":                     `[{"id":"H","worker_name":"H","type":"H","path":"H","container_handle":"H"}]`,
	"/api/v1/teams/main/artifacts":                   `[{"id":1,"name":"H","digest":"H"}]`,
	"POST /api/v1/teams/main/artifacts":              `{"id":1,"name":"H","digest":"H"}`,
	"POST /api/v1/teams/main/builds":                 hostileBuild,
	"/api/v1/teams/main/sessions":                    `[{"id":"H","container":"H","step_name":"H","user":"H","command":["H"]}]`,
	"/api/v1/teams/main/tasks/t/cache":               `{"caches_removed":1}`,
	"/api/v1/status":                                 `{"verdict":"H","time":1,"version":"H","parts":[{"name":"H","verdict":"H","finding":"H","values":{"H":1}}]}`,
	"/api/v1/traces/" + hostileTrace:                 `{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"H"}}]},"scopeSpans":[{"spans":[{"traceId":"` + hostileTrace + `","spanId":"b7ad6b7169203331","name":"H","startTimeUnixNano":"1","endTimeUnixNano":"900000000","status":{"code":2,"message":"H"},"attributes":[{"key":"midge.image","value":{"stringValue":"H"}},{"key":"H","value":{"stringValue":"H"}}]}]}]}]}`,
	"/api/v1/teams/main/containers/" + hostileHandle: strings.Replace(hostileContainer, `"id":"H"`, `"id":"`+hostileHandle+`"`, 1),
	hostileFiles:                                     `[{"name":"H","type":"file","size":1},{"name":"H","type":"symlink","target":"H"},{"name":"H","type":"H"}]`,
	hostileFiles + "/changes":                        `[{"path":"/H","change":"H","type":"H","size":1}]`,
}

const (
	hostileBuild     = `{"id":1,"name":"H","team_name":"H","status":"H","created_by":"H","api_url":"H","trace_id":"` + hostileTrace + `","pipeline_name":"H","job_name":"H"}`
	hostileContainer = `{"id":"H","worker_name":"H","build_id":1,"step_name":"H","type":"H","state":"H","working_directory":"H","user":"H","pipeline_name":"H","job_name":"H","attempt":"H","held_until":1}`
	hostileFiles     = "/api/v1/teams/main/containers/" + hostileHandle + "/files"
)

// hostileAnswer is what a request is answered with.
func hostileAnswer(r *http.Request) (answer string, ok bool) {
	if answer, ok = hostileAnswers[r.Method+" "+r.URL.Path]; !ok {
		answer, ok = hostileAnswers[r.URL.Path]
	}
	return answer, ok
}

// homeTask makes a task in a directory, and an input for it; out is where there is nothing.
func homeTask(t *testing.T, dir string) (src, out, task string) {
	t.Helper()
	src, out, task = filepath.Join(dir, "src"), filepath.Join(dir, "out"), filepath.Join(dir, "task.yml")
	err := os.Mkdir(src, 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(src, "file"), []byte("x"), 0o600)
	}
	if err == nil {
		err = os.WriteFile(task, []byte("platform: linux\ninputs: [{name: src}]\noutputs: [{name: out}]\nrun: {path: \"true\"}\n"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return src, out, task
}

// hostileEvents is a build's log with the hostile text wherever one is, but in the
// task's own output, which is shown as it is.
func hostileEvents(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	for i, event := range []string{
		`{"event":"status","version":"1.0","data":{"status":"H","time":1}}`,
		`{"event":"initialize-task","version":"4.0","data":{"time":1,"origin":{"id":"H"},"config":{"platform":"H","image":"H","run":{"path":"H","args":["H"],"dir":"H"},"inputs":[{"name":"H","path":"H"}]}}}`,
		`{"event":"selected-worker","version":"1.0","data":{"time":1,"origin":{"id":"H"},"selected_worker":"H"}}`,
		`{"event":"start-task","version":"5.0","data":{"time":1,"origin":{"id":"H"},"config":{"run":{"path":"H","args":["H"],"dir":"H"}}}}`,
		`{"event":"waiting","version":"1.0","data":{"time":1,"reason":"H"}}`,
		`{"event":"hold","version":"1.0","data":{"time":1,"origin":{"id":"H"},"container":"H","step":"H","until":99999999999}}`,
		`{"event":"hijack","version":"1.0","data":{"time":1,"session":"H","user":"H","command":["H"]}}`,
		`{"event":"cause","version":"1.0","data":{"time":1,"origin":{"id":"H"},"code":"timeout","message":"H"}}`,
		`{"event":"cause","version":"1.0","data":{"time":1,"origin":{"id":"H"},"code":"aborted","message":"H"}}`,
		`{"event":"usage","version":"1.0","data":{"name":"H","step":"H","worker":"H"}}`,
		`{"event":"error","version":"4.1","data":{"message":"H","origin":{"id":"H"},"time":1}}`,
		`{"event":"finish-task","version":"4.0","data":{"time":1,"origin":{"id":"H"},"exit_status":3}}`,
		`{"event":"H","version":"H","data":{}}`,
		`{"event":"status","version":"1.0","data":{"status":"failed","time":1}}`,
	} {
		fmt.Fprintf(w, "id: %d\nevent: event\ndata: %s\n\n", i, strings.ReplaceAll(event, "H", hostile))
	}
	fmt.Fprint(w, "id: 99\nevent: end\ndata\n\n")
}

// A server cannot make the terminal do what it wants by anything that it says.
func TestHostileServersTexts(t *testing.T) {
	var requests atomic.Int64
	asked := sync.Map{}
	fake := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		asked.Store(r.URL.Path, true)
		asked.Store(r.Method+" "+r.URL.Path, true)
		answer, ok := hostileAnswer(r)
		switch {
		case r.URL.Path == "/api/v1/builds/1/events":
			hostileEvents(w)
		case ok:
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, strings.ReplaceAll(answer, "H", hostile))
		default:
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, strings.NewReplacer(`\u001b`, "\x1b", `\u0007`, "\x07", `\u009b`, "\u009b", `\u202e`, "\u202e", `\r`, "\r").Replace(hostile))
		}
	}))
	defer fake.Close()
	home := evilHome(t, fake.URL)
	src, out, task := homeTask(t, home)
	for _, command := range []string{
		"builds", "workers", "containers", "volumes", "teams", "userinfo", "artifacts ls", "status --details", "status",
		"watch -b 1", "watch -b 1 --timestamps", "abort-build -b 1", "usage 1", "trace 1", "trace --all 1", "trace --compare 1 1",
		"hijack -b 1 -- true", "hijack --list", "hijack --attach x", "hijack --handle " + hostileHandle + " -- true",
		"land-worker -w x", "prune-worker -w x", "get-wall", "set-wall -m x", "tokens", "hold 1", "release 1", "clear-task-cache -s t -n",
		"ls " + hostileHandle + ":/", "diff " + hostileHandle, "cat " + hostileHandle + ":/x", "cp " + hostileHandle + ":/x " + out,
		"artifacts pull 1 " + out, "artifacts cat 1 x", "artifacts push " + src,
		"execute -c " + task + " -i src=" + src + " -o out=" + out,
		"--usage --trace execute -c " + task + " -i src=" + src + " -o out=" + out,
		"login -c " + fake.URL + " -u x -p x",
	} {
		for _, as := range []string{"", "--json "} {
			before := requests.Load()
			r := realserver.Run(t, realserver.Midge(t.Context(), home, append([]string{"-t", "evil"}, strings.Fields(as+command)...)...))
			if requests.Load() == before {
				t.Errorf("%s%s has not asked the server: %s", as, command, r.Stderr)
			}
			if found := control.FindString(r.Stdout + r.Stderr); found != "" {
				t.Errorf("%s%s prints %q in %q", as, command, found, r.Stdout+r.Stderr)
			}
		}
	}
	for path := range hostileAnswers {
		if _, ok := asked.Load(path); !ok {
			t.Errorf("nothing has asked for %s", path)
		}
	}
}

// What a user logs in with, and the token, go to the server that they are for, wherever
// that says to go, for one request or for all.
func TestTokensAreNotSentElsewhere(t *testing.T) {
	var mu sync.Mutex
	var elsewhereAsked []string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		elsewhereAsked = append(elsewhereAsked, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization"))
	}))
	defer elsewhere.Close()
	var redirected atomic.Int64
	// The other answers are good ones, so that the commands go on to what is redirected.
	redirecting := func(path string) *httptest.Server {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if answer, ok := hostileAnswer(r); ok && path != "" && !strings.Contains(r.URL.Path, path) {
				if path == "/files" && r.URL.Path == "/api/v1/info" {
					answer = `{"version":"8.0.0","worker_version":"2.5","midge":{"version":"1.0.0","features":["artifacts"]}}` // which has commands for files
				}
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, strings.ReplaceAll(answer, "H", "x"))
				return
			}
			redirected.Add(1)
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
		}))
		t.Cleanup(server.Close)
		return server
	}
	src, out, task := homeTask(t, t.TempDir())
	execute := "execute -c " + task + " -i src=" + src + " -o out=" + out
	for _, test := range []struct{ path, command string }{
		{"", "builds"}, {"", "status"}, {"", "userinfo"}, {"", "curl /api/v1/builds"}, {"", "login -u ann -p the-token"}, {"", "logout"},
		{"", execute}, {"", "artifacts push " + src}, {"", "artifacts pull 1 " + out},
		{"/artifacts", execute}, {"main/builds", execute}, {"/events", "watch -b 1"},
		{"/hijack", "hijack --handle " + hostileHandle + " -- true"}, {"/files", "cat " + hostileHandle + ":x"},
		{"/files", "cp " + src + " " + hostileHandle + ":x"}, {"/abort", "abort-build -b 1"}, {"/hold", "hold 1"},
	} {
		home := evilHome(t, redirecting(test.path).URL)
		before := redirected.Load()
		r := realserver.Run(t, realserver.Midge(t.Context(), home, append([]string{"-t", "evil"}, strings.Fields(test.command)...)...))
		if redirected.Load() == before {
			t.Errorf("%s was not redirected: %s%s", test.command, r.Stdout, r.Stderr)
		}
		if r.Status == 0 && !strings.HasPrefix(test.command, "curl") && test.command != "logout" {
			t.Errorf("%s took a redirect for an answer: %s%s", test.command, r.Stdout, r.Stderr)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(elsewhereAsked) > 0 {
		t.Errorf("another server was asked for %q", elsewhereAsked)
	}
}

// An answer that has no end, or becomes much more than it was, is given up, and takes no
// more memory than the client can do with.
func TestHostileServersEnormousAnswers(t *testing.T) {
	const most = 512 << 10 // KiB
	endless := func(w http.ResponseWriter, begin, text string) {
		_, err := io.WriteString(w, begin)
		for piece := strings.Repeat(text, 1+(64<<10)/len(text)); err == nil; {
			_, err = io.WriteString(w, piece)
		}
	}
	for name, test := range map[string]struct {
		command string
		answer  func(w http.ResponseWriter)
	}{
		"a list":       {"builds", func(w http.ResponseWriter) { endless(w, "[", `{"id":1},`) }},
		"a text":       {"userinfo", func(w http.ResponseWriter) { endless(w, `{"name":"`, "x") }},
		"a trace":      {"trace " + hostileTrace, func(w http.ResponseWriter) { endless(w, `{"resourceSpans":[`, `{"scopeSpans":[{"spans":[{}]}]},`) }},
		"many nothing": {"builds", func(w http.ResponseWriter) { fmt.Fprint(w, "["+strings.Repeat("null,", 6<<20)+"null]") }},
		"an error": {"builds", func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusInternalServerError)
			endless(w, `{"error":"`, "x")
		}},
		"a header": {"builds", func(w http.ResponseWriter) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			piece := strings.Repeat("x", 64<<10)
			for _, err = io.WriteString(conn, "HTTP/1.1 200 OK\r\nX: "); err == nil; {
				_, err = io.WriteString(conn, piece)
			}
		}},
		"an event": {"watch -b 1", func(w http.ResponseWriter) { endless(w, "id: 0\nevent: event\ndata: ", "x") }},
		"a login":  {"login -u x -p x", func(w http.ResponseWriter) { endless(w, `{"access_token":"`, "x") }},
		"files":    {"ls " + hostileHandle, func(w http.ResponseWriter) { endless(w, "[", `{"name":"x"},`) }},
	} {
		t.Run(name, func(t *testing.T) {
			fake := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/"+hostileHandle) || r.URL.Path == "/api/v1/builds/1" {
					fmt.Fprint(w, strings.ReplaceAll(hostileAnswers[r.URL.Path], "H", "x"))
					return
				}
				w.Header().Set("Content-Type", "application/json")
				test.answer(w)
			}))
			defer fake.Close()
			cmd := realserver.Midge(t.Context(), evilHome(t, fake.URL), append([]string{"-t", "evil"}, strings.Fields(test.command)...)...)
			r := realserver.Run(t, cmd)
			if r.Status == 0 || len(r.Stdout)+len(r.Stderr) > 16<<10 {
				t.Errorf("exit status %d, and %d bytes are printed", r.Status, len(r.Stdout)+len(r.Stderr))
			}
			if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); !ok || usage.Maxrss > most {
				t.Errorf("it took %d KiB of memory", usage.Maxrss)
			}
		})
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
			home := evilHome(t, fake.URL)
			task := filepath.Join(home, "task.yml")
			if err := os.WriteFile(task, []byte("platform: linux\noutputs: [{name: out}]\nrun: {path: \"true\"}\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			out := filepath.Join(home, "deep/out")
			if err := os.Mkdir(filepath.Dir(out), 0o755); err != nil {
				t.Fatal(err)
			}
			r := realserver.Run(t, realserver.Midge(t.Context(), home, "-t", "evil", "execute", "-c", task, "-o", "out="+out))
			if sent.Load() == 0 {
				t.Errorf("the client has not asked for the archive: %+v", r)
			}
			for _, path := range []string{outside, filepath.Join(home, "deep/escaped"), filepath.Join(home, "escaped"), filepath.Join(out, "device")} {
				if _, err := os.Lstat(path); err == nil {
					t.Errorf("the archive made %s", path)
				}
			}
			if info, err := os.Lstat(filepath.Join(out, "hard")); err == nil {
				t.Errorf("the archive linked a file of the machine: %v", info)
			}
		})
	}
}

// evilHome is a home with the target evil, and a token for it.
func evilHome(t *testing.T, url string) string {
	t.Helper()
	home := t.TempDir()
	path := filepath.Join(home, ".config/midge/targets.yml")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	text := "targets:\n  evil:\n    api: " + url + "\n    team: main\n    token: {type: bearer, value: the-token}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return home
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
