package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// serverContainer is the container of the server in deploy/kubernetes, where its pod has others.
const serverContainer = "midge-server"

// ownImage gives the image that this program's own pod, in a namespace, runs it of.
func (w *Worker) ownImage(ctx context.Context, namespace string) (string, error) {
	name, err := os.Hostname() // which is the pod's name
	if err != nil {
		return "", err
	}
	var own *corev1.Pod
	err = w.request(ctx, func(ctx context.Context) (err error) {
		own, err = w.client.Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		return err
	})
	if err != nil {
		return "", fmt.Errorf("look at the server's own pod, as no agent-image is named: %w", explainRequest(err))
	}
	return imageOfServer(own)
}

// imageOfServer gives the image of the server in its pod.
func imageOfServer(own *corev1.Pod) (string, error) {
	containers := own.Spec.Containers
	if len(containers) == 1 {
		return containers[0].Image, nil
	}
	for _, container := range containers {
		if container.Name == serverContainer {
			return container.Image, nil
		}
	}
	return "", errors.New("the server's own pod has several containers, none called " + serverContainer + ": name the image with midge-agent as agent-image")
}
