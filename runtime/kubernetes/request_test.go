package kubernetes

import (
	"context"
	"errors"
	"net/url"
	"syscall"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestPasses(t *testing.T) {
	pods := schema.GroupResource{Resource: "pods"}
	for name, test := range map[string]struct {
		err  error
		want bool
	}{
		"quota":              {apierrors.NewForbidden(pods, "p", errors.New("exceeded quota: compute, requested: pods=1, used: pods=5, limited: pods=5")), true},
		"new namespace":      {apierrors.NewForbidden(pods, "p", errors.New(`error looking up service account a/default: serviceaccount "default" not found`)), true},
		"no answer":          {&noAnswerError{err: context.Canceled}, true},
		"no right":           {apierrors.NewForbidden(pods, "p", errors.New(`User "x" cannot create resource "pods"`)), false},
		"pod security":       {apierrors.NewForbidden(pods, "p", errors.New(`violates PodSecurity "restricted:latest"`)), false},
		"invalid":            {apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, "p", nil), false},
		"too many requests":  {apierrors.NewTooManyRequests("slow down", 1), true},
		"internal":           {apierrors.NewInternalError(errors.New("etcd is away")), true},
		"webhook away":       {apierrors.NewInternalError(errors.New(`failed calling webhook "x": connection refused`)), true},
		"connection refused": {&url.Error{Op: "Post", URL: "https://127.0.0.1", Err: syscall.ECONNREFUSED}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := passes(test.err); got != test.want {
				t.Errorf("passes(%v) is %v", test.err, got)
			}
		})
	}
}
