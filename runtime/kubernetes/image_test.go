package kubernetes

import (
	"errors"
	"strings"
	"testing"

	"midge/runtime"
)

func TestRegistryImage(t *testing.T) {
	const sum = "sha256:0123456789012345678901234567890123456789012345678901234567890123"
	for name, test := range map[string]struct {
		resource       runtime.RegistryImage
		reference, err string
		registry       string
	}{
		"tag":        {runtime.RegistryImage{Type: "registry-image", Source: map[string]any{"repository": "busybox", "tag": "1.36"}}, "busybox:1.36", "", "https://index.docker.io/v1/"},
		"number":     {runtime.RegistryImage{Type: "registry-image", Source: map[string]any{"repository": "alpine", "tag": 3.2}}, "alpine:3.2", "", "https://index.docker.io/v1/"},
		"no tag":     {runtime.RegistryImage{Type: "docker-image", Source: map[string]any{"repository": "ghcr.io/a/b"}}, "ghcr.io/a/b", "", "ghcr.io"},
		"port":       {runtime.RegistryImage{Type: "registry-image", Source: map[string]any{"repository": "localhost:5000/a"}}, "localhost:5000/a", "", "localhost:5000"},
		"digest":     {runtime.RegistryImage{Type: "registry-image", Source: map[string]any{"repository": "a", "tag": "b"}, Version: map[string]string{"digest": sum}}, "a:b@" + sum, "", "https://index.docker.io/v1/"},
		"type":       {runtime.RegistryImage{Type: "git", Source: map[string]any{"repository": "a"}}, "", `type "git" is not supported`, ""},
		"repository": {runtime.RegistryImage{Type: "registry-image"}, "", "source.repository is missing", ""},
		"mistyped":   {runtime.RegistryImage{Type: "registry-image", Source: map[string]any{"repository": 7}}, "", "source.repository has the wrong type", ""},
	} {
		t.Run(name, func(t *testing.T) {
			img, err := registryImage(&test.resource)
			if test.err != "" {
				if refused := (*runtime.SpecError)(nil); !errors.As(err, &refused) || !strings.Contains(err.Error(), test.err) {
					t.Errorf("it gave %v, want %q", err, test.err)
				}
				return
			}
			if err != nil || img.reference != test.reference || img.registry() != test.registry {
				t.Errorf("it gave %q of %q, %v", img.reference, img.registry(), err)
			}
		})
	}
}
