package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// withSecret makes the secret by which a pod's image is pulled, if that needs one, under
// the pod's name, and gives the pod that uses it. It lives until the pod runs.
func (w *Worker) withSecret(ctx context.Context, handle string, p *corev1.Pod, img image, say *progress) (*corev1.Pod, error) {
	if img.username == "" {
		return p, nil
	}
	config, err := img.dockerConfig()
	if err != nil {
		return nil, err
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: p.Name, Labels: w.labels(handle), OwnerReferences: w.owners},
		Type:       corev1.SecretTypeDockerConfigJson,
		Data:       map[string][]byte{corev1.DockerConfigJsonKey: config},
	}
	err = w.requestFor(ctx, untilDone, say.notYet, func(ctx context.Context) error {
		_, err := w.client.Secrets(p.Namespace).Create(ctx, secret, metav1.CreateOptions{})
		return err
	})
	if ctx.Err() != nil {
		return nil, say.ended(ctx)
	}
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("make the secret to pull the image with: %w", explainRequest(err))
	}
	p = p.DeepCopy()
	p.Spec.ImagePullSecrets = append(p.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: p.Name})
	return p, nil
}

// ownSecret has a pod's secret, if it has one, go with the pod alone, whatever becomes of
// the server.
func (w *Worker) ownSecret(ctx context.Context, p *corev1.Pod, img image) error {
	if img.username == "" {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"ownerReferences": []metav1.OwnerReference{{
		APIVersion: "v1", Kind: "Pod", Name: p.Name, UID: p.UID,
	}}}})
	if err != nil {
		return err
	}
	err = w.request(ctx, func(ctx context.Context) error {
		// A strategic merge would add to the owners.
		_, err := w.client.Secrets(p.Namespace).Patch(ctx, p.Name, types.MergePatchType, patch, metav1.PatchOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("have the secret to pull the image with go with its pod: %w", explainRequest(err))
	}
	return nil
}

// removeSecret removes a pod's secret. That it has none is no error.
func (w *Worker) removeSecret(ctx context.Context, name string) error {
	err := w.request(ctx, func(ctx context.Context) error {
		return w.client.Secrets(w.options.Namespace).Delete(ctx, name, metav1.DeleteOptions{})
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete the secret to pull an image with: %w", explainRequest(err))
	}
	return nil
}

// sweepSecrets removes the secrets that a server left that was killed: it makes their pods anew.
func (w *Worker) sweepSecrets(ctx context.Context) error {
	var list *corev1.SecretList
	err := w.request(ctx, func(ctx context.Context) (err error) {
		list, err = w.client.Secrets(w.options.Namespace).List(ctx, metav1.ListOptions{LabelSelector: w.own().String()})
		return err
	})
	if err != nil {
		return fmt.Errorf("list the secrets of namespace %s: %w", w.options.Namespace, explainRequest(err))
	}
	for _, secret := range list.Items {
		if err := w.removeSecret(ctx, secret.Name); err != nil {
			return err
		}
	}
	return nil
}
