package client

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"midge/api"
)

// answering answers every request alike.
type answering struct {
	status int
	header http.Header
	body   []byte
}

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: a.status, Status: http.StatusText(a.status), Header: a.header.Clone(), Request: r,
		Body: io.NopCloser(bytes.NewReader(a.body)),
	}, nil
}

// Whatever a server answers, every method gives an answer or an error of one line that
// can be shown, and the answer is not followed to elsewhere.
func FuzzAnswers(f *testing.F) {
	for _, body := range []string{
		`[{"id":1,"name":"x","status":"started"}]`, `{"id":1,"version":"8.0.0"}`, `{"error":"\u001b[2J"}`, "<html>", "", "null", `"x"`,
		"id: 0\nevent: event\ndata: {\"event\":\"log\",\"data\":{\"payload\":\"x\"}}\n\nid: 1\nevent: end\ndata\n\n", "id: x\nevent: event\ndata: {}\n\n",
	} {
		f.Add(200, "", []byte(body))
		f.Add(500, "", []byte(body))
		f.Add(307, "https://evil.example\x1b[2J/", []byte(body))
		f.Add(401, "", []byte(body))
	}
	f.Fuzz(func(t *testing.T, status int, location string, body []byte) {
		switch {
		case status < 200 || status > 999:
			return
		case status == http.StatusTooManyRequests || status >= http.StatusBadGateway && status <= http.StatusGatewayTimeout:
			return // for which the client waits
		}
		c, err := New(Options{URL: "http://midge.example", Token: "t", Patience: time.Nanosecond, Wrap: func(http.RoundTripper) http.RoundTripper {
			return answering{status, http.Header{"Location": {location}, "Content-Type": {"text/plain"}, "Retry-After": {location}}, body}
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx := t.Context()
		for name, call := range map[string]func() error{
			"info":       func() error { _, err := c.Info(ctx); return err },
			"login":      func() error { _, err := c.Login(ctx, "u", "p"); return err },
			"user":       func() error { _, err := c.User(ctx); return err },
			"builds":     func() error { _, err := c.Builds(ctx, BuildFilter{Limit: 1}); return err },
			"build":      func() error { _, err := c.Build(ctx, 1); return err },
			"plan":       func() error { _, err := c.BuildPlan(ctx, 1); return err },
			"usage":      func() error { _, err := c.BuildUsage(ctx, 1); return err },
			"artifacts":  func() error { _, err := c.Artifacts(ctx, 1); return err },
			"containers": func() error { _, err := c.Containers(ctx, ContainerFilter{}); return err },
			"files":      func() error { _, err := c.ListFiles(ctx, "h", "/"); return err },
			"changes":    func() error { _, err := c.FileChanges(ctx, "h"); return err },
			"file":       func() error { return c.CatFile(ctx, "h", "/x", io.Discard) },
			"workers":    func() error { _, err := c.Workers(ctx); return err },
			"status":     func() error { _, _, err := c.Status(ctx); return err },
			"sessions":   func() error { _, err := c.HijackSessions(ctx); return err },
			"tokens":     func() error { _, err := c.Tokens(ctx, ""); return err },
			"trace":      func() error { _, err := c.Trace(ctx, "x"); return err },
			"create":     func() error { _, err := c.CreateBuild(ctx, api.Plan{}, "k"); return err },
		} {
			if err := call(); err != nil && strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Errorf("%s: the error is %q", name, err)
			}
		}
	})
}

// Whatever an event stream has, events are given in the order of their numbers, each once.
func FuzzEvents(f *testing.F) {
	for _, stream := range []string{
		"id: 0\nevent: event\ndata: {\"event\":\"status\",\"data\":{\"status\":\"failed\"}}\n\nid: 0\nevent: event\ndata: {}\n\n",
		"id: x\nevent: event\ndata: {}\n\n", "id: 1\nevent: event\ndata: [\n\n", "id: -9223372036854775808\nevent: event\ndata: {}\n\n", "data",
	} {
		f.Add([]byte(stream))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		c, err := New(Options{URL: "http://midge.example"})
		if err != nil {
			t.Fatal(err)
		}
		last := int64(-1)
		follower := follower{client: c, last: last, yield: func(event api.Event, err error) bool {
			id, failed := strconv.ParseInt(event.ID, 10, 64)
			if failed != nil || id <= last || err != nil {
				t.Errorf("after event %d comes %q (%v)", last, event.ID, err)
			}
			last = id
			return true
		}}
		for frames := newFrameReader(bytes.NewReader(stream)); ; {
			frame, err := frames.next()
			if err != nil || follower.give(frame) != nil {
				return
			}
		}
	})
}

// A token that is read is one word that fits into a header.
func FuzzParseToken(f *testing.F) {
	for _, text := range []string{"bearer 0123abcd", "x", "", "bearer", "a b c", "bearer \x1b[2J", "AAAAAAAAAAAAAAAAAAAAAAAAAAD//////////w"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err == nil && (token.Value == "" || strings.ContainsFunc(token.Value, func(r rune) bool { return r <= ' ' || r >= 0x7f })) {
			t.Errorf("%q gave %q", text, token.Value)
		}
	})
}
