package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"

	"midge/artifacts"
)

// get fetches objects and calls do for each that it is given; more may come than
// keys asks for. When the connection breaks it asks for those that have not come.
func (f *fetcher) get(ctx context.Context, keys []artifacts.Key, query url.Values, do func(key artifacts.Key, record []byte) error) error {
	missing := make(map[artifacts.Key]struct{}, len(keys))
	var asked []artifacts.Key // each once, in their order
	for _, key := range keys {
		if _, ok := missing[key]; ok {
			continue
		}
		found, err := f.getKept(key, do)
		if err != nil {
			return err
		}
		if !found {
			missing[key] = struct{}{}
			asked = append(asked, key)
		}
	}
	attempt := 1
	for len(missing) > 0 {
		before := len(missing)
		err := f.getOnce(ctx, asked, missing, query, do)
		if err == nil && len(missing) > 0 {
			for key := range missing {
				return notSent(key)
			}
		}
		if err == nil {
			return nil
		}
		var local *localError
		if errors.As(err, &local) {
			return local.err
		}
		if len(missing) < before {
			attempt = 0
		}
		if attempt++; attempt > f.remote.attempts() || !again(ctx, err) {
			return err
		}
		if err := f.remote.wait(ctx, attempt); err != nil {
			return err
		}
	}
	return nil
}

// getKept calls do for an object that is among those that are kept.
func (f *fetcher) getKept(key artifacts.Key, do func(key artifacts.Key, record []byte) error) (found bool, err error) {
	if f.objects == nil {
		return false, nil
	}
	record, found := f.objects.get(key)
	if !found {
		return false, nil
	}
	return true, do(key, record)
}

// localError is an error that fetching again does not mend.
type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }

func (f *fetcher) getOnce(ctx context.Context, keys []artifacts.Key, missing map[artifacts.Key]struct{}, query url.Values, do func(key artifacts.Key, record []byte) error) (err error) {
	var body []byte
	for _, key := range keys {
		if _, ok := missing[key]; ok {
			body = artifacts.AppendKey(body, key)
		}
	}
	atomic.AddInt64(&f.receipt.Requests, 1)
	response, err := f.remote.post(ctx, artifacts.FetchPath, query, artifacts.KeysType, body)
	if err != nil {
		return &localError{fmt.Errorf("ask the server for %d objects: %w", len(missing), err)}
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	counted := &countingReader{r: response.Body}
	defer func() { atomic.AddInt64(&f.receipt.FetchedCompressed, counted.n) }()
	unasked := 0 // bytes in a row
	err = eachObject(counted, func(key artifacts.Key, record []byte) error {
		_, asked := missing[key]
		if unasked += len(record); asked {
			unasked = 0
		}
		if !asked && query == nil {
			if unasked > maxUnasked {
				return &localError{errors.New("the server sends what it was not asked for, and nothing else")}
			}
			return nil
		}
		delete(missing, key)
		if f.objects != nil {
			f.objects.put(key, record)
		}
		if err := do(key, record); err != nil {
			return &localError{err}
		}
		return nil
	})
	if reason := response.Trailer.Get(artifacts.ErrorTrailer); err != nil && reason != "" {
		return &localError{&ServerError{Status: http.StatusInternalServerError, Message: reason}}
	}
	return err
}

// maxUnasked is how many bytes may come, one behind the other, that nobody has asked for:
// more than the rest of one frame and the beginning of the next.
const maxUnasked = 64 << 20

// countingReader counts what is read.
type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
