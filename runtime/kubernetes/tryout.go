package kubernetes

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"midge/runtime"
)

// findOwner gives the owner of what the worker makes, none when it has none.
func (w *Worker) findOwner(ctx context.Context) ([]metav1.OwnerReference, error) {
	name := w.options.Owner
	if name == "" {
		return nil, nil
	}
	var claim *corev1.PersistentVolumeClaim
	err := w.request(ctx, func(ctx context.Context) (err error) {
		claim, err = w.client.PersistentVolumeClaims(w.options.Namespace).Get(ctx, name, metav1.GetOptions{})
		return err
	})
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("pods are to go with the PersistentVolumeClaim %s, which is not in namespace %s: name one that is, or none", name, w.options.Namespace)
	case err != nil:
		return nil, fmt.Errorf("look for the PersistentVolumeClaim %s, which pods are to go with: %w", name, explainRequest(err))
	}
	return []metav1.OwnerReference{{APIVersion: "v1", Kind: "PersistentVolumeClaim", Name: claim.Name, UID: claim.UID}}, nil
}

// tryOut asks the cluster whether it would take pods like those that the worker is to
// make, with each of its templates. What it would never take is an error.
func (w *Worker) tryOut(ctx context.Context) error {
	if err := w.tryOutTags(ctx); err != nil {
		return err
	}
	for _, tag := range slices.Sorted(maps.Keys(w.options.TagTemplates)) {
		if err := w.tryOutTags(ctx, tag); err != nil {
			return fmt.Errorf("the tag %s: %w", tag, err)
		}
	}
	return nil
}

func (w *Worker) tryOutTags(ctx context.Context, tags ...string) error {
	const handle = "none"
	spec := runtime.ContainerSpec{Handle: handle, Dir: "/tmp/build", Tags: tags}
	p, err := w.newPod(spec, newPodName(w.Name(), handle), w.options.AgentImage, nil)
	if err != nil {
		return err
	}
	if w.options.Cache != CacheNone {
		w.share(p, spec)
	}
	if p, err = w.placed(p, tags); err != nil {
		return err
	}
	err = w.request(ctx, func(ctx context.Context) error {
		_, err := w.client.Pods(p.Namespace).Create(ctx, p, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	})
	switch {
	case err == nil:
		return nil
	case apierrors.IsNotFound(err):
		return fmt.Errorf("the cluster has no namespace %s: make it, or name another", w.options.Namespace)
	case isLackOfRight(err):
		return fmt.Errorf("make a pod: %w", explainRequest(err))
	case apierrors.IsInvalid(err), apierrors.IsForbidden(err) && strings.Contains(err.Error(), "violates PodSecurity"):
		return fmt.Errorf("the cluster would take no pod of this worker: %s", oneLine(err.Error()))
	}
	// It may be about this pod, or about now.
	w.options.Log.WarnContext(ctx, "the cluster does not say that it would take pods", "worker", w.Name(), "namespace", w.options.Namespace, "error", err)
	return nil
}
