package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Limits of requests to the API server, by this program: its own limits are for all.
const (
	requestsPerSecond = 100
	requestsAtOnce    = 200
)

// DefaultRequestTimeout is how long the API server may take for an answer.
const DefaultRequestTimeout = 30 * time.Second

// untilDone is the patience of who waits as long as its context lets it.
const untilDone = 0

// request makes a request of the API server, and again while what it fails with may
// pass, for as long as one answer may take: somebody waits.
func (w *Worker) request(ctx context.Context, do func(ctx context.Context) error) error {
	return w.requestFor(ctx, w.options.RequestTimeout, nil, do)
}

// requestFor is request for as long as patience; failed, if it is not nil, is told of
// each failure that may pass.
func (w *Worker) requestFor(ctx context.Context, patience time.Duration, failed func(error), do func(ctx context.Context) error) error {
	end := time.Now().Add(patience)
	for wait := 200 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := w.attempt(ctx, do)
		if err == nil || ctx.Err() != nil || !passes(err) {
			return err
		}
		if failed != nil {
			failed(err)
		}
		if patience != untilDone && time.Now().Add(wait).After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

// attempt makes a request once.
func (w *Worker) attempt(ctx context.Context, do func(ctx context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, w.options.RequestTimeout)
	defer cancel()
	err := do(limited)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return &noAnswerError{after: w.options.RequestTimeout, err: err}
	}
	return err
}

// A noAnswerError tells that the API server hangs.
type noAnswerError struct {
	after time.Duration
	err   error
}

func (e *noAnswerError) Error() string {
	return fmt.Sprintf("the API server has not answered within %s", e.after)
}

func (e *noAnswerError) Unwrap() error { return e.err }

// passes tells whether a request may succeed when it is made again later.
func passes(err error) bool {
	var none *noAnswerError
	switch {
	case strings.Contains(err.Error(), "admission webhook") && strings.Contains(err.Error(), "denied the request"):
		return false // with whatever status the webhook likes
	case isUnencrypted(err):
		return false
	case apierrors.IsForbidden(err):
		// In a namespace that is new there may be no service account yet.
		return isQuota(err) || strings.Contains(err.Error(), "error looking up service account")
	case apierrors.IsTooManyRequests(err), apierrors.IsInternalError(err), apierrors.IsServerTimeout(err), apierrors.IsTimeout(err),
		apierrors.IsServiceUnavailable(err), apierrors.IsUnexpectedServerError(err), apierrors.IsConflict(err):
		return true
	case isNetwork(err), errors.As(err, &none):
		return true
	}
	return apierrors.ReasonForError(err) == "" // it did not come from the API server
}

// explainRequest makes a sentence of what the API server says, or what keeps it from saying anything.
func explainRequest(err error) error {
	switch {
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("the API server does not know who asks; renew the kubeconfig's credentials: %w", err)
	case isLackOfRight(err):
		return fmt.Errorf("the worker lacks a right that the Role in deploy/kubernetes has, which is to be bound to its user: %w", err)
	}
	if isUnencrypted(err) {
		return errors.New("the API server wants https, and the kubeconfig has its address with http: write https:// there")
	}
	none := (*noAnswerError)(nil)
	if asked := (*url.Error)(nil); errors.As(err, &asked) && !errors.As(err, &none) {
		return fmt.Errorf("the API server at %s does not answer: %w", hostOf(asked.URL), asked.Err)
	}
	return err
}

// hostOf gives the host and port of a URL.
func hostOf(text string) string {
	if parsed, err := url.Parse(text); err == nil {
		return parsed.Host
	}
	return text
}

// isNetwork tells whether a request has come to nobody who answers.
func isNetwork(err error) bool {
	var network net.Error
	return errors.As(err, &network)
}

// isUnencrypted tells whether a request that was not encrypted came to who takes none of those.
func isUnencrypted(err error) bool {
	status := apierrors.APIStatus(nil)
	if !errors.As(err, &status) || status.Status().Details == nil {
		return false
	}
	return slices.ContainsFunc(status.Status().Details.Causes, func(cause metav1.StatusCause) bool {
		return strings.Contains(cause.Message, "HTTP request to an HTTPS server")
	})
}

// isLackOfRight tells whether the API server has refused a request for who has made it.
func isLackOfRight(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), " cannot ")
}
