package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"
)

const (
	// answerTimeout is how long a JSON answer may take, from the first byte sent to the last received.
	answerTimeout = time.Minute
	// maxAnswerBytes bounds a JSON answer.
	maxAnswerBytes = 32 << 20
	// maxAnswerValues bounds how many values are in one: each may take a hundred times the
	// memory that it has bytes.
	maxAnswerValues = 1 << 20
	// maxMessageBytes bounds what is read of an answer that tells of an error.
	maxMessageBytes = 16 << 10
)

// request is one request, before it is known where it goes.
type request struct {
	method string
	path   string // escaped, begins with a slash
	query  url.Values
	header http.Header
	body   []byte    // sent again when the request is repeated
	stream io.Reader // sent instead of body, and once
	length int64     // of stream; 0 when it is not known
	again  bool      // it does no harm to send it twice, though it is a POST
	about  string    // what it is about, for the error when that is not there: "build 12"
}

// repeatable reports whether the request may be sent again after err, because that
// does no harm or because the server cannot have seen it.
func (r request) repeatable(err error) bool {
	if r.stream != nil {
		return false
	}
	var unreachable *UnreachableError
	if errors.As(err, &unreachable) {
		return r.harmless() || unreachable.unsent
	}
	var refused *ServerError
	if errors.As(err, &refused) {
		return refused.turnedAway() || r.harmless() && refused.passing()
	}
	return false
}

func (r request) harmless() bool { return r.again || r.method != http.MethodPost }

// call sends the request and decodes the JSON answer into answer, which may be nil.
func (c *Client) call(ctx context.Context, r request, answer any) error {
	return c.persist(ctx, r, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeoutCause(ctx, answerTimeout, errSilent)
		defer cancel()
		response, err := c.send(ctx, r)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		return c.decode(ctx, response, answer)
	})
}

// decode reads a JSON answer.
func (c *Client) decode(ctx context.Context, response *http.Response, answer any) error {
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes+1))
	switch {
	case err != nil:
		return c.transportError(ctx, err, false)
	case len(body) > maxAnswerBytes:
		return c.strange("its answer is longer than 32 MiB")
	case bytes.Count(body, []byte(",")) >= maxAnswerValues:
		return c.strange("its answer has more than a million values")
	case answer == nil:
		return nil
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return c.strange(describeBody(response, body))
	}
	return nil
}

// persist runs attempt, and again while a server is away that is expected back.
func (c *Client) persist(ctx context.Context, r request, attempt func(context.Context) error) error {
	outage := outage{client: c}
	for {
		err := attempt(ctx)
		if err == nil {
			outage.over()
			return nil
		}
		if !r.repeatable(err) || !c.expects() {
			return err
		}
		if err := outage.wait(ctx, err); err != nil {
			return err
		}
	}
}

// send sends the request once and gives the answer when its status is a good one. The
// caller closes its body.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	response, err := c.attempt(ctx, r)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= 200 && response.StatusCode < 300 {
		return response, nil
	}
	defer response.Body.Close()
	return nil, c.statusError(r, response)
}

// attempt sends the request once and gives the answer whatever its status.
func (c *Client) attempt(ctx context.Context, r request) (*http.Response, error) {
	target := c.base.String() + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	body := r.stream
	if body == nil && r.body != nil {
		body = bytes.NewReader(r.body)
	}
	sent, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, err
	}
	for name, values := range r.header {
		sent.Header[name] = values
	}
	if r.length > 0 {
		sent.ContentLength = r.length
	}
	sent.Header.Set("User-Agent", "midge")
	if c.options.Token != "" && sent.Header.Get("Authorization") == "" {
		sent.Header.Set("Authorization", "Bearer "+c.options.Token)
	}
	response, err := c.http.Do(sent)
	if err != nil {
		return nil, c.transportError(ctx, err, true)
	}
	if response.StatusCode < http.StatusInternalServerError {
		c.heard.Store(true)
	}
	return response, nil
}

// jsonBody encodes value as the body of a request.
func jsonBody(value any) ([]byte, http.Header, error) {
	body, err := json.Marshal(value)
	return body, http.Header{"Content-Type": {"application/json"}}, err
}
