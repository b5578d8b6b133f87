// Package transfer is the user's side of moving trees by content: Send brings a
// directory to a server and sends what the server lacks of it, Fetch brings a tree
// into a directory and gets what the directory lacks.
//
// Both may be broken off at any time and called again: what has arrived is not
// moved twice. Their memory is bounded, whatever the size of the files.
//
// The package knows nothing of builds, tasks or terminals: what a person is shown
// of it goes through Progress and Receipt.
package transfer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"midge/artifacts"
)

// Remote is the artifacts of a team on a server.
type Remote struct {
	// Client sends requests, with what proves who sends them.
	Client interface {
		Do(*http.Request) (*http.Response, error)
	}
	// URL is where the team's artifacts are: https://host/api/v1/teams/main/artifacts.
	URL string
	// Name is what they are remembered by, where URL is not theirs alone; "" is URL.
	Name string
	// Attempts is how often a request is sent before its failure is the caller's; 0 is 5.
	Attempts int
	// Wait gives how long to wait after a failed attempt, the first being 1; nil
	// waits a quarter of a second and each time twice as long.
	Wait func(attempt int) time.Duration
}

// ServerError is an answer of the server that is no success.
type ServerError struct {
	Status  int
	Message string
}

func (e *ServerError) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("the server answered %d %s", e.Status, http.StatusText(e.Status))
	}
	return "the server answered: " + e.Message
}

const (
	defaultAttempts = 5
	firstWait       = 250 * time.Millisecond
	maxMessage      = 64 << 10
)

// post sends a request until it is answered. A success and the other statuses the
// caller accepts are given; the caller closes the body.
func (r *Remote) post(ctx context.Context, path string, query url.Values, contentType string, body []byte, accept ...int) (*http.Response, error) {
	for attempt := 1; ; attempt++ {
		response, err := r.postOnce(ctx, path, query, contentType, body)
		if err == nil {
			if err = success(response, accept); err == nil {
				return response, nil
			}
		}
		if attempt == r.attempts() || !again(ctx, err) {
			return nil, err
		}
		if err := r.wait(ctx, attempt); err != nil {
			return nil, err
		}
	}
}

func (r *Remote) name() string { return cmp.Or(r.Name, r.URL) }

func (r *Remote) attempts() int {
	if r.Attempts == 0 {
		return defaultAttempts
	}
	return r.Attempts
}

func (r *Remote) postOnce(ctx context.Context, path string, query url.Values, contentType string, body []byte) (*http.Response, error) {
	address := strings.TrimSuffix(r.URL, "/") + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make a request to %s: %w", address, err)
	}
	request.Header.Set("Content-Type", contentType)
	return r.Client.Do(request)
}

// success gives an error for a response that is none, and closes it.
func success(response *http.Response, accept []int) error {
	if response.StatusCode/100 == 2 {
		return nil
	}
	for _, status := range accept {
		if response.StatusCode == status {
			return nil
		}
	}
	message, err := io.ReadAll(io.LimitReader(response.Body, maxMessage))
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	return &ServerError{Status: response.StatusCode, Message: strings.TrimSpace(string(message))}
}

// again reports whether a request that failed may succeed when it is sent again.
func again(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	var server *ServerError
	if !errors.As(err, &server) {
		return true
	}
	switch server.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

func (r *Remote) wait(ctx context.Context, attempt int) error {
	delay := firstWait << (attempt - 1)
	if r.Wait != nil {
		delay = r.Wait(attempt)
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// tree asks the server to name a tree. It gives the server's answer when the
// server has all of it, else what it lacks.
func (r *Remote) tree(ctx context.Context, root artifacts.Digest, query url.Values) (created []byte, lacks *lacking, err error) {
	response, err := r.post(ctx, artifacts.TreesPath+root.String(), query, artifacts.KeysType, nil, http.StatusConflict)
	if err != nil {
		return nil, nil, fmt.Errorf("ask the server for artifact %v: %w", root, err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if response.StatusCode != http.StatusConflict {
		created, err = io.ReadAll(io.LimitReader(response.Body, maxMessage))
		return created, nil, err
	}
	if response.Header.Get("Content-Type") != artifacts.AnswerType {
		return nil, nil, fmt.Errorf("ask the server for artifact %v: %w", root, success(response, nil))
	}
	lacks, err = readLacking(response.Body)
	return nil, lacks, err
}

// objects sends a pack for a tree.
func (r *Remote) objects(ctx context.Context, root artifacts.Digest, pack []byte) error {
	response, err := r.post(ctx, artifacts.ObjectsPath, url.Values{"tree": {root.String()}}, artifacts.PackType, pack)
	if err != nil {
		return fmt.Errorf("send a pack of %d bytes: %w", len(pack), err)
	}
	return response.Body.Close()
}

// have asks which objects the team has sent.
func (r *Remote) have(ctx context.Context, keys []artifacts.Key) (has func(i int) bool, err error) {
	body := make([]byte, 0, len(keys)*artifacts.KeySize)
	for _, key := range keys {
		body = artifacts.AppendKey(body, key)
	}
	response, err := r.post(ctx, artifacts.HavePath, nil, artifacts.KeysType, body)
	if err != nil {
		return nil, fmt.Errorf("ask the server what it has: %w", err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	mask := make([]byte, (len(keys)+7)/8)
	if _, err := io.ReadFull(response.Body, mask); err != nil {
		return nil, fmt.Errorf("read what the server has: %w", err)
	}
	return func(i int) bool { return mask[i/8]&(1<<(i%8)) != 0 }, nil
}
