package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Source says where an image is pulled from, as image_resource of a task config does.
type Source struct {
	Repository string
	Tag        string
	// Digest, if not "", names the image; Tag then is for people.
	Digest   string
	Username string
	Password string
	// Insecure allows plain HTTP and certificates that nobody vouches for.
	Insecure bool
	// CACerts are certificates in PEM, trusted besides the system's.
	CACerts []string
	// Mirror is asked first for an image of the default registry.
	Mirror   Mirror
	Platform v1.Platform
}

// Mirror is a registry that has copies of another's images. Host is "" for none.
type Mirror struct {
	Host     string `json:"host"`
	Username string `json:"username"`
	Password string `json:"password"`
}

// SourceError tells that an image_resource cannot be used as it stands.
type SourceError struct{ Message string }

func (e *SourceError) Error() string { return "image_resource: " + e.Message }

// registryImage is the source of the resource type registry-image, as
// https://github.com/concourse/registry-image-resource describes it.
type registryImage struct {
	Repository string          `json:"repository"`
	Tag        json.RawMessage `json:"tag"`
	Username   string          `json:"username"`
	Password   string          `json:"password"`
	Insecure   bool            `json:"insecure"`
	CACerts    []string        `json:"ca_certs"`
	Mirror     Mirror          `json:"registry_mirror"`
	Platform   struct {
		OS           string `json:"os"`
		Architecture string `json:"architecture"`
		Variant      string `json:"variant"`
	} `json:"platform"`
}

// dockerImage is what the older docker-image, as
// https://github.com/concourse/docker-image-resource describes it, has otherwise.
type dockerImage struct {
	Repository         string          `json:"repository"`
	Tag                json.RawMessage `json:"tag"`
	Username           string          `json:"username"`
	Password           string          `json:"password"`
	InsecureRegistries []string        `json:"insecure_registries"`
	Mirror             string          `json:"registry_mirror"`
	CACerts            []struct {
		Domain string `json:"domain"`
		Cert   string `json:"cert"`
	} `json:"ca_certs"`
}

// ParseSource reads the type, source and version of an image_resource. What is
// wrong with them is a *SourceError.
func ParseSource(kind string, source map[string]any, version map[string]string) (Source, error) {
	text, err := json.Marshal(source)
	if err != nil {
		return Source{}, err
	}
	for key := range source {
		if strings.HasPrefix(key, "aws_") || key == "content_trust" {
			return Source{}, &SourceError{fmt.Sprintf("source.%s is not supported; give username and password", key)}
		}
	}
	var (
		s   Source
		tag json.RawMessage
	)
	s.Platform = v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	switch kind {
	case "registry-image":
		var from registryImage
		if err := unmarshalSource(text, &from); err != nil {
			return Source{}, err
		}
		tag = from.Tag
		s.Repository, s.Username, s.Password = from.Repository, from.Username, from.Password
		s.Insecure, s.CACerts, s.Mirror = from.Insecure, from.CACerts, from.Mirror
		if from.Platform.OS != "" {
			s.Platform.OS = from.Platform.OS
		}
		if from.Platform.Architecture != "" {
			s.Platform.Architecture = from.Platform.Architecture
		}
		s.Platform.Variant = from.Platform.Variant
	case "docker-image":
		var from dockerImage
		if err := unmarshalSource(text, &from); err != nil {
			return Source{}, err
		}
		tag = from.Tag
		s.Repository, s.Username, s.Password = from.Repository, from.Username, from.Password
		s.Mirror.Host = strings.TrimPrefix(strings.TrimPrefix(from.Mirror, "https://"), "http://")
		for _, ca := range from.CACerts {
			s.CACerts = append(s.CACerts, ca.Cert)
		}
		registry, _, _ := strings.Cut(s.Repository, "/")
		s.Insecure = slices.Contains(from.InsecureRegistries, registry)
	default:
		return Source{}, &SourceError{fmt.Sprintf("type %q is not supported; use registry-image", kind)}
	}
	if s.Tag, err = parseTag(tag); err != nil {
		return Source{}, err
	}
	s.Digest = version["digest"]
	_, err = s.reference("")
	return s, err
}

func unmarshalSource(text []byte, into any) error {
	err := json.Unmarshal(text, into)
	var mistyped *json.UnmarshalTypeError
	if errors.As(err, &mistyped) {
		return &SourceError{fmt.Sprintf("source.%s has the wrong type (%s)", mistyped.Field, mistyped.Value)}
	}
	return err
}

// parseTag takes a string or, since YAML reads 3.20 and 22 as such, a number.
func parseTag(raw json.RawMessage) (string, error) {
	var text string
	if len(raw) == 0 || string(raw) == "null" {
		return "latest", nil
	}
	if json.Unmarshal(raw, &text) == nil {
		if text == "" {
			return "latest", nil
		}
		return text, nil
	}
	var number json.Number
	if json.Unmarshal(raw, &number) == nil {
		return number.String(), nil
	}
	return "", &SourceError{"source.tag must be a string"}
}

// reference is what to ask for, of the mirror if there is one to ask, else of the
// registry that the repository names.
func (s Source) reference(mirror string) (name.Reference, error) {
	if s.Repository == "" {
		return nil, &SourceError{"source.repository is missing"}
	}
	options := []name.Option{name.WithDefaultTag("latest")}
	if s.Insecure {
		options = append(options, name.Insecure)
	}
	repository, err := name.NewRepository(s.Repository, options...)
	if err != nil {
		return nil, &SourceError{err.Error()}
	}
	if mirror != "" {
		if repository, err = name.NewRepository(mirror+"/"+repository.RepositoryStr(), options...); err != nil {
			return nil, &SourceError{"source.registry_mirror: " + err.Error()}
		}
	}
	var reference name.Reference
	if s.Digest != "" {
		reference, err = name.NewDigest(repository.Name()+"@"+s.Digest, options...)
	} else {
		reference, err = name.NewTag(repository.Name()+":"+s.Tag, options...)
	}
	if err != nil {
		return nil, &SourceError{err.Error()}
	}
	return reference, nil
}

// String names the image for people.
func (s Source) String() string {
	if s.Digest != "" {
		return s.Repository + "@" + s.Digest
	}
	return s.Repository + ":" + s.Tag
}

// keychain gives the source's own credentials, else those of the docker
// configuration of whoever runs the server.
func (s Source) keychain() authn.Keychain {
	if s.Username == "" && s.Password == "" {
		return authn.DefaultKeychain
	}
	return fixedKeychain{authn.AuthConfig{Username: s.Username, Password: s.Password}}
}

func (m Mirror) keychain() authn.Keychain {
	if m.Username == "" && m.Password == "" {
		return authn.DefaultKeychain
	}
	return fixedKeychain{authn.AuthConfig{Username: m.Username, Password: m.Password}}
}

// fixedKeychain gives the same credentials for whatever is asked.
type fixedKeychain struct{ config authn.AuthConfig }

func (k fixedKeychain) Resolve(authn.Resource) (authn.Authenticator, error) {
	return authn.FromConfig(k.config), nil
}
