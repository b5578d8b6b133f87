package image

import (
	"errors"
	"strings"
	"testing"
)

func TestParseSource(t *testing.T) {
	tests := []struct {
		name, kind string
		source     map[string]any
		version    map[string]string
		want       string // the image, or
		wantError  string
	}{
		{name: "tag", kind: "registry-image", source: map[string]any{"repository": "busybox", "tag": "1.36"}, want: "busybox:1.36"},
		{name: "no tag", kind: "registry-image", source: map[string]any{"repository": "busybox"}, want: "busybox:latest"},
		{name: "number", kind: "registry-image", source: map[string]any{"repository": "alpine", "tag": 22}, want: "alpine:22"},
		{name: "digest", kind: "registry-image", source: map[string]any{"repository": "busybox"},
			version: map[string]string{"digest": "sha256:" + strings.Repeat("a", 64)}, want: "busybox@sha256:" + strings.Repeat("a", 64)},
		{name: "docker-image", kind: "docker-image", source: map[string]any{"repository": "example.com/x", "tag": "1"}, want: "example.com/x:1"},
		{name: "no repository", kind: "registry-image", source: map[string]any{}, wantError: "source.repository is missing"},
		{name: "bad repository", kind: "registry-image", source: map[string]any{"repository": "No Such"}, wantError: "image_resource: "},
		{name: "mistyped", kind: "registry-image", source: map[string]any{"repository": []any{"a"}}, wantError: "source.repository has the wrong type (array)"},
		{name: "bad digest", kind: "registry-image", source: map[string]any{"repository": "busybox"}, version: map[string]string{"digest": "1"}, wantError: "image_resource: "},
		{name: "other type", kind: "git", source: map[string]any{}, wantError: `type "git" is not supported`},
		{name: "aws", kind: "registry-image", source: map[string]any{"repository": "x", "aws_region": "y"}, wantError: "source.aws_region is not supported"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			source, err := ParseSource(test.kind, test.source, test.version)
			var wrong *SourceError
			if test.wantError != "" {
				if !errors.As(err, &wrong) || !strings.Contains(err.Error(), test.wantError) {
					t.Errorf("error %v, want one with %q", err, test.wantError)
				}
				return
			}
			if err != nil || source.String() != test.want {
				t.Errorf("%s, %v; want %s", source, err, test.want)
			}
		})
	}
}
