package image

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// explain says in a sentence what a registry's answer means for who asked.
func explain(source Source, err error) error {
	var status *transport.Error
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("the worker's disk is full: %w", err)
	case errors.Is(err, context.Canceled):
		return err
	case !errors.As(err, &status):
		return err
	}
	switch status.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		if source.Username == "" {
			return fmt.Errorf("the registry wants a login; give username and password in image_resource's source: %w", err)
		}
		return fmt.Errorf("the registry refuses the username and password in image_resource's source: %w", err)
	case http.StatusNotFound:
		return fmt.Errorf("the registry has no such image; check repository and tag: %w", err)
	}
	return err
}

// hasPlatform checks that an index has an image for the platform asked for.
func hasPlatform(descriptor *remote.Descriptor, source Source) error {
	index, err := descriptor.ImageIndex()
	if err != nil {
		return err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	return choosePlatform(manifest, source.Platform)
}

func choosePlatform(manifest *v1.IndexManifest, wanted v1.Platform) error {
	var there []string
	for _, entry := range manifest.Manifests {
		switch {
		case entry.Platform == nil:
			continue
		case entry.Platform.Satisfies(wanted):
			return nil
		case entry.Platform.OS != "unknown" && !slices.Contains(there, entry.Platform.String()):
			there = append(there, entry.Platform.String())
		}
	}
	if len(there) == 0 {
		return fmt.Errorf("the image's index names no platform, so none for %s", wanted)
	}
	return fmt.Errorf("the image is for %s, not for %s", strings.Join(there, ", "), wanted)
}

// isPlatform checks that an image says it is for the platform asked for.
func isPlatform(image v1.Image, source Source) error {
	config, err := image.ConfigFile()
	if err != nil {
		return err
	}
	is := config.Platform()
	if is == nil || is.OS == "" || is.Architecture == "" {
		return nil // an image that does not say is taken at its word
	}
	if is.OS != source.Platform.OS || is.Architecture != source.Platform.Architecture {
		return fmt.Errorf("the image is for %s, not for %s", is, source.Platform)
	}
	return nil
}
