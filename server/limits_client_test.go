package server_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"midge/api"
	"midge/artifacts/transfer"
	"midge/client"
	"midge/hijack"
	"midge/server"
	"midge/server/servertest"
)

// Who sends too much is told when to come back, and what users run does so: a command that
// asks, one that uploads, and a session.
func TestClientsHeedLimits(t *testing.T) {
	// Time passes for the server when who is to wait says so.
	said := &saying{began: time.Now()}
	s := startServer(t, servertest.Options{Configure: func(config *server.Config) {
		config.UserLimits.Requests = 10
		config.Now = said.now
	}})
	// Who comes by the socket has no such limit.
	atHome, err := client.New(client.Options{URL: "unix://" + s.Socket})
	if err != nil {
		t.Fatal(err)
	}
	defer atHome.Close()
	someone := testUser(t, s)
	build, _ := someone.finish(someone.build(script("exit 1")).ID)
	containers, err := atHome.Containers(t.Context(), client.ContainerFilter{BuildID: build.ID})
	if err != nil || len(containers) != 1 {
		t.Fatalf("the containers are %+v (%v)", containers, err)
	}
	c, err := client.New(client.Options{URL: s.URL, Token: someone.token, Notify: func(n client.Notice) {
		if n.Lost != nil {
			fmt.Fprintln(said, n.Lost)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, command := range map[string]func() error{
		"a list": func() error {
			_, err := c.Builds(t.Context(), client.BuildFilter{})
			return err
		},
		"an upload": func() error {
			_, _, err := transfer.Send(t.Context(), &transfer.Remote{Client: exchanger{c}, URL: c.ArtifactsURL()}, filepath.Dir(file), transfer.SendOptions{})
			return err
		},
		"a session": func() error {
			options := hijack.Options{
				Processes: []api.HijackProcess{{Path: "sh", Args: []string{"-c", "exit 0"}}},
				Stdout:    io.Discard, Stderr: io.Discard, Notices: said, Heard: true,
			}
			options.Endpoint.URL, options.Endpoint.Client, options.Endpoint.Header = c.HijackEndpoint(containers[0].ID)
			_, err := hijack.Run(t.Context(), options)
			return err
		},
	} {
		before := len(said.String())
		firstRefused(t, someone, "/api/v1/user")
		if err := command(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if text := said.String()[before:]; strings.Count(text, "more than 10 requests a second") != 1 {
			t.Errorf("%s says %q, want once that it waits, and why", name, text)
		}
	}
}

// exchanger sends requests as the client does that are safe to repeat.
type exchanger struct{ client *client.Client }

func (e exchanger) Do(r *http.Request) (*http.Response, error) { return e.client.Exchange(r) }

// saying is what was said, and a clock that goes on by a minute each time.
type saying struct {
	began time.Time

	mu   sync.Mutex
	text strings.Builder
	said int
}

func (s *saying) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said++
	return s.text.Write(text)
}

func (s *saying) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func (s *saying) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.began.Add(time.Duration(s.said) * time.Minute)
}
