package kubernetes

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"midge/runtime"
)

// An image is what a pod's container runs in.
type image struct {
	reference          string
	username, password string
}

// imageOf gives the image of a spec. One that no pod can have is a *runtime.SpecError.
func (w *Worker) imageOf(spec runtime.ImageSpec) (image, error) {
	switch {
	case spec.Registry != nil:
		return registryImage(spec.Registry)
	case (spec.Host || spec.RootfsURI != "") && w.options.DefaultImage != "":
		return image{reference: w.options.DefaultImage}, nil
	case spec.Host:
		return image{}, &runtime.SpecError{Message: fmt.Sprintf(
			"worker %q is a cluster, which has no system of its own for a container: name an image by image_resource", w.Name())}
	case spec.RootfsURI != "":
		return image{}, &runtime.SpecError{Message: fmt.Sprintf(
			"worker %q is a cluster, which does not have the directory %s: name an image by image_resource in place of rootfs_uri", w.Name(), spec.RootfsURI)}
	case spec.Artifact != nil:
		return image{}, &runtime.SpecError{Message: fmt.Sprintf(
			"worker %q is a cluster, whose nodes pull images from registries alone: push the image to one, and name it by image_resource", w.Name())}
	default:
		return image{}, &runtime.SpecError{Message: "the container has no image"}
	}
}

// registryImage reads the source of an image_resource as far as it says what a node
// is to pull. The rest of a source is about registries, which the nodes know.
func registryImage(resource *runtime.RegistryImage) (image, error) {
	if resource.Type != "registry-image" && resource.Type != "docker-image" {
		return image{}, &runtime.SpecError{Message: fmt.Sprintf("image_resource: type %q is not supported; use registry-image", resource.Type)}
	}
	var img image
	for key, into := range map[string]*string{"repository": &img.reference, "username": &img.username, "password": &img.password} {
		value, there := resource.Source[key]
		text, ok := value.(string)
		if there && !ok {
			return image{}, &runtime.SpecError{Message: fmt.Sprintf("image_resource: source.%s has the wrong type (%T)", key, value)}
		}
		*into = text
	}
	if img.reference == "" {
		return image{}, &runtime.SpecError{Message: "image_resource: source.repository is missing"}
	}
	if tag, ok := resource.Source["tag"]; ok && tag != "" {
		img.reference += ":" + fmt.Sprint(tag)
	}
	if sum := resource.Version["digest"]; sum != "" {
		img.reference += "@" + sum
	}
	return img, nil
}

// registry gives the host that the image comes from, as credentials name it.
func (i image) registry() string {
	first, _, more := strings.Cut(i.reference, "/")
	if more && (strings.ContainsAny(first, ".:") || first == "localhost") {
		return first
	}
	return "https://index.docker.io/v1/"
}

// dockerConfig gives the credentials as a pull secret has them.
func (i image) dockerConfig() ([]byte, error) {
	type credentials struct {
		Username string `json:"username"`
		Password string `json:"password"`
		Auth     string `json:"auth"`
	}
	return json.Marshal(map[string]map[string]credentials{"auths": {i.registry(): {
		Username: i.username,
		Password: i.password,
		Auth:     base64.StdEncoding.EncodeToString([]byte(i.username + ":" + i.password)),
	}}})
}
